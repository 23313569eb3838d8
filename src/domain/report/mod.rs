//! The report: what the object says after a reconcile. From what was judged and done, and from what the status said before,
//! comes the next status and the events worth sending. Pure and total; the controller only patches what comes out of here.

mod outcome;

pub use outcome::{ActionOutcome, ActionResult, Outcome, SkipReason};
