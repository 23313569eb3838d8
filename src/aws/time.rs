//! Points in time, as AWS gives them.

use aws_smithy_types::DateTime;
use jiff::Timestamp;

/// The same second; None if it is beyond what a timestamp can say (year 9999).
pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}
