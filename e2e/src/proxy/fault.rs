//! Faults: which calls they meet, and what they answer instead of the emulator, in the dialect of the service.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::classify::Operation;

/// Which calls a fault meets. An absent field matches every call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// Signing name: `s3`, `iam`, `sts`, `kms`, …
    pub service: Option<String>,
    /// API operation: `GetBucketPolicy`.
    pub operation: Option<String>,
    /// Bucket, role name, key id or ARN.
    pub resource: Option<String>,
    /// Only writes, or only reads.
    pub write: Option<bool>,
    /// Only calls signed for another region than this one.
    pub not_region: Option<String>,
}

impl Filter {
    /// Every call.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Calls of one operation, written `s3:GetBucketPolicy`; without a colon, all calls of one service.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let (service, operation) = match name.split_once(':') {
            Some((service, operation)) => (service, Some(operation.to_owned())),
            None => (name, None),
        };
        Self {
            service: Some(service.to_owned()),
            operation,
            ..Self::default()
        }
    }

    /// The same, for one resource only.
    #[must_use]
    pub fn on(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    fn matches(&self, call: &Operation) -> bool {
        let Self {
            service,
            operation,
            resource,
            write,
            not_region,
        } = self;
        service.as_ref().is_none_or(|s| *s == call.service)
            && operation.as_ref().is_none_or(|o| *o == call.operation)
            && resource.as_ref().is_none_or(|r| call.resource.as_ref() == Some(r))
            && write.is_none_or(|w| w == call.write)
            && not_region.as_ref().is_none_or(|r| call.region.as_ref() != Some(r))
    }
}

/// What happens to a call that a fault meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Act {
    /// Held for a while, then forwarded.
    Delay {
        /// How long, in milliseconds; at most two minutes.
        millis: u64,
    },
    /// The service's own "access denied" (HTTP 403).
    AccessDenied,
    /// The service's own throttling answer: 503 `SlowDown` (S3), 400 `Throttling` (others).
    Throttle,
    /// HTTP 429 without a body that means anything.
    TooManyRequests,
    /// HTTP 500 with an HTML page, as a load balancer in trouble answers.
    HtmlError,
    /// The service's own error with this code and status.
    Error {
        /// HTTP status.
        status: u16,
        /// Error code: `ExpiredToken`.
        code: String,
        /// Text of the error.
        message: String,
    },
    /// HTTP 301 with the bucket's region, as S3 answers a call signed for another one.
    PermanentRedirect {
        /// The bucket's region.
        region: String,
    },
    /// HTTP 200 with this body, whatever was asked for.
    Garbage {
        /// The body.
        body: String,
    },
    /// The connection is cut without an answer.
    Drop,
}

/// A fault: what to do to which calls, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Which calls.
    #[serde(default)]
    pub filter: Filter,
    /// How many matching calls pass before the first one is met.
    #[serde(default)]
    pub skip: u32,
    /// How many calls are met; absent means all.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens to them.
    pub act: Act,
}

impl Fault {
    /// Meets every matching call until [`heal`](super::Proxy::heal).
    #[must_use]
    pub fn always(filter: Filter, act: Act) -> Self {
        Self {
            filter,
            skip: 0,
            times: None,
            act,
        }
    }

    /// Meets the next `n` matching calls.
    #[must_use]
    pub fn times(n: u32, filter: Filter, act: Act) -> Self {
        Self {
            filter,
            skip: 0,
            times: Some(n),
            act,
        }
    }

    pub(super) fn meet(&mut self, call: &Operation) -> Option<Act> {
        if !self.filter.matches(call) || self.times == Some(0) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.map(|left| left - 1);
        Some(self.act.clone())
    }
}

/// How a service writes its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    RestXml,
    Query,
    Json,
}

fn dialect(service: &str) -> Dialect {
    match service {
        "s3" | "s3control" => Dialect::RestXml,
        "iam" | "sts" | "ec2" => Dialect::Query,
        _ => Dialect::Json,
    }
}

/// The answer of an act; none for [`Act::Delay`] and [`Act::Drop`], which answer nothing.
pub(super) fn answer(act: &Act, call: &Operation) -> Option<Response<Full<Bytes>>> {
    let dialect = dialect(&call.service);
    match act {
        Act::Delay { .. } | Act::Drop => None,
        Act::AccessDenied => {
            let code = if dialect == Dialect::Json {
                "AccessDeniedException"
            } else {
                "AccessDenied"
            };
            let message = format!("User is not authorized to perform: {call}");
            Some(error(dialect, StatusCode::FORBIDDEN, code, &message))
        }
        Act::Throttle => Some(match dialect {
            Dialect::RestXml => error(
                dialect,
                StatusCode::SERVICE_UNAVAILABLE,
                "SlowDown",
                "Please reduce your request rate.",
            ),
            Dialect::Query => error(dialect, StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded"),
            Dialect::Json => error(dialect, StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded"),
        }),
        Act::TooManyRequests => Some(plain(StatusCode::TOO_MANY_REQUESTS, "text/plain", "Too Many Requests")),
        Act::HtmlError => Some(plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/html",
            "<!DOCTYPE html><html><head><title>500</title></head><body><h1>Internal Server Error</h1></body></html>",
        )),
        Act::Error { status, code, message } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Some(error(dialect, status, code, message))
        }
        Act::PermanentRedirect { region } => {
            let message = "The bucket you are attempting to access must be addressed using the specified endpoint.";
            let mut response = error(
                Dialect::RestXml,
                StatusCode::MOVED_PERMANENTLY,
                "PermanentRedirect",
                message,
            );
            if let Ok(value) = region.parse() {
                response.headers_mut().insert("x-amz-bucket-region", value);
            }
            Some(response)
        }
        Act::Garbage { body } => Some(plain(StatusCode::OK, "application/octet-stream", body)),
    }
}

pub(super) fn delay(act: &Act) -> Option<Duration> {
    match act {
        Act::Delay { millis } => Some(Duration::from_millis(*millis)),
        Act::AccessDenied
        | Act::Throttle
        | Act::TooManyRequests
        | Act::HtmlError
        | Act::Error { .. }
        | Act::PermanentRedirect { .. }
        | Act::Garbage { .. }
        | Act::Drop => None,
    }
}

fn error(dialect: Dialect, status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    const ID: &str = "AIDPE2E000000000";
    match dialect {
        Dialect::RestXml => plain(
            status,
            "application/xml",
            &format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                 <Error><Code>{code}</Code><Message>{message}</Message><RequestId>{ID}</RequestId></Error>"
            ),
        ),
        Dialect::Query => plain(
            status,
            "text/xml",
            &format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                 <RequestId>{ID}</RequestId></ErrorResponse>"
            ),
        ),
        Dialect::Json => {
            let body = serde_json::json!({"__type": code, "message": message}).to_string();
            plain(status, "application/x-amz-json-1.1", &body)
        }
    }
}

fn plain(status: StatusCode, content_type: &'static str, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_owned())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static(content_type));
    response
}
