//! EC2's two calls on managed prefix lists, in the query protocol, signed by `aws-sigv4`: its SDK would take minutes and
//! gigabytes to compile. Request and answer go through the orchestrator of the SDKs, so that connections, timeouts,
//! repetitions and errors are the same as everywhere else.
//!
//! Source: Amazon EC2 API Reference, DescribeManagedPrefixLists and GetManagedPrefixListEntries.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use ipnet::IpNet;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::classify::Failure;
use super::paging::next_token;
use super::service::Service;
use super::session::AccountSession;
use crate::domain::names::Region;
use crate::domain::observed::{ErrorClass, Read};

/// Version of the API.
const VERSION: &str = "2016-11-15";
/// Entries asked for at a time: the most that EC2 gives.
const PAGE: &str = "100";
/// Pages of one list. AWS allows 1,000 entries in a list.
const MAX_PAGES: usize = 20;
/// Credentials that expire sooner are fetched anew.
const MARGIN: Duration = Duration::from_mins(2);
/// What RFC 3986 leaves as it is, and nothing else.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// An error answer of EC2.
#[derive(Debug)]
struct Refused(ErrorMetadata);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl ProvideErrorMetadata for Refused {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

/// A request, signed.
#[derive(Debug)]
struct Signed {
    headers: Vec<(String, String)>,
    body: String,
}

/// A page of entries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entries {
    cidrs: Vec<String>,
    next: Option<String>,
}

/// One prefix list as it is described.
#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    id: String,
    name: String,
    owner: String,
}

impl AccountSession {
    /// The addresses of an AWS service in the home region: the entries of the prefix list `com.amazonaws.REGION.SERVICE`
    /// that AWS manages. Not older than `max_age`.
    ///
    /// # Errors
    /// Why they could not be read; [`ErrorClass::NotFound`] if AWS has no such list.
    pub async fn prefix_list(&self, service: &str, max_age: Duration) -> Read<Vec<IpNet>> {
        let key = (self.home.clone(), service.to_owned());
        let reading = self
            .shared
            .readings
            .prefix_lists
            .get(&key, max_age, || self.read_prefix_list(service));
        reading.await.map_err(Into::into)
    }

    async fn read_prefix_list(&self, service: &str) -> Result<Vec<IpNet>, Failure> {
        const DESCRIBE: &str = "DescribeManagedPrefixLists";
        const ENTRIES: &str = "GetManagedPrefixListEntries";
        let name = format!("com.amazonaws.{}.{service}", self.home);
        let filter = [
            ("Filter.1.Name", "prefix-list-name"),
            ("Filter.1.Value.1", name.as_str()),
        ];
        let lists = self.ec2(DESCRIBE, &filter, described).await?;
        // A customer can't name a list so, but a server that ignores the filter could give any.
        let ours = |list: &&Described| list.name == name && list.owner.eq_ignore_ascii_case("AWS");
        let Some(list) = lists.iter().find(ours) else {
            let message = format!("AWS has no managed prefix list {name}; check the service's name and the region");
            return Err(Failure::new(DESCRIBE, ErrorClass::NotFound, message));
        };
        let mut cidrs = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut parameters = vec![("PrefixListId", list.id.as_str()), ("MaxResults", PAGE)];
            parameters.extend(token.iter().map(|t| ("NextToken", t.as_str())));
            let page = self.ec2(ENTRIES, &parameters, entries).await?;
            for text in &page.cidrs {
                let net: IpNet = text
                    .parse()
                    .map_err(|_| Failure::incomplete(ENTRIES, "CIDR that is one"))?;
                cidrs.push(net.trunc());
            }
            token = next_token(ENTRIES, page.next, token.as_ref())?;
            if token.is_none() {
                cidrs.sort();
                cidrs.dedup();
                return Ok(cidrs);
            }
        }
        let message = format!("more than {MAX_PAGES} pages of {name}; a part of it is not used for the whole");
        Err(Failure::new(ENTRIES, ErrorClass::Terminal, message))
    }

    /// One read.
    async fn ec2<T: std::fmt::Debug + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        parameters: &[(&str, &str)],
        read: fn(&[u8]) -> Result<T, XmlDecodeError>,
    ) -> Result<T, Failure> {
        let endpoint = self.shared.ec2_endpoint(&self.home);
        let body = form(operation, parameters);
        let request = self.shared.send_ec2(operation, &self.home, endpoint, body, read);
        self.shared.caller.read(Service::Ec2, operation, request).await
    }
}

impl super::session::Shared {
    async fn send_ec2<T: std::fmt::Debug + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        region: &Region,
        endpoint: String,
        body: String,
        read: fn(&[u8]) -> Result<T, XmlDecodeError>,
    ) -> Result<T, SdkError<Refused, HttpResponse>> {
        let credentials = self.credentials().await.map_err(SdkError::construction_failure)?;
        let signed = signed(&credentials, region, &endpoint, body).map_err(SdkError::construction_failure)?;
        let mut builder = Operation::builder()
            .service_name("ec2")
            .operation_name(operation)
            .endpoint_url(&endpoint)
            .no_auth();
        if let Some(client) = self.config().http_client() {
            builder = builder.http_client(client);
        }
        if let Some(retries) = self.config().retry_config() {
            builder = builder.standard_retry(retries);
        }
        if let Some(timeouts) = self.config().timeout_config() {
            builder = builder.timeout_config(timeouts.clone());
        }
        if let Some(sleep) = self.config().sleep_impl() {
            builder = builder.sleep_impl(sleep);
        }
        let operation = builder
            .serializer(|Signed { headers, body }: Signed| {
                let mut request = HttpRequest::new(SdkBody::from(body));
                request.set_method("POST")?;
                request.set_uri("/")?;
                for (name, value) in headers {
                    request.headers_mut().try_insert(name, value)?;
                }
                Ok(request)
            })
            .deserializer(move |response: &HttpResponse| answer(response, read))
            .build();
        operation.invoke(signed).await
    }

    /// The account's credentials, kept until shortly before they expire.
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let mut kept = self.kept_credentials().lock().await;
        let soon = SystemTime::now() + MARGIN;
        if let Some(credentials) = kept.as_ref().filter(|c| c.expiry().is_some_and(|at| at > soon)) {
            return Ok(credentials.clone());
        }
        let provider = self.config().credentials_provider();
        let provider =
            provider.ok_or_else(|| CredentialsError::not_loaded("no source of credentials is configured"))?;
        let credentials = provider.provide_credentials().await?;
        *kept = Some(credentials.clone());
        Ok(credentials)
    }
}

fn form(operation: &str, parameters: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("&{name}={}", utf8_percent_encode(value, ENCODED));
    let rest: String = parameters.iter().map(pair).collect();
    format!("Action={operation}&Version={VERSION}{rest}")
}

fn signed(
    credentials: &Credentials,
    region: &Region,
    endpoint: &str,
    body: String,
) -> Result<Signed, Box<dyn std::error::Error + Send + Sync>> {
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    let identity = credentials.clone().into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region.as_str())
        .name("ec2")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let uri = format!("{}/", endpoint.trim_end_matches('/'));
    let request = SignableRequest::new("POST", uri, [FORM].into_iter(), SignableBody::Bytes(body.as_bytes()))?;
    let (instructions, _signature) = sign(request, &parameters)?.into_parts();
    let added = instructions
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut headers = vec![(FORM.0.to_owned(), FORM.1.to_owned())];
    headers.extend(added);
    Ok(Signed { headers, body })
}

fn answer<T>(
    response: &HttpResponse,
    read: fn(&[u8]) -> Result<T, XmlDecodeError>,
) -> Result<T, OrchestratorError<Refused>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return read(body).map_err(OrchestratorError::other);
    }
    Err(OrchestratorError::operation(Refused(refusal(body))))
}

/// Code and message of an error; both absent where the answer is not EC2's.
fn refusal(body: &[u8]) -> ErrorMetadata {
    let mut code = None;
    let mut message = None;
    let read = each(body, &["Response", "Errors", "Error"], |tag| {
        match tag.start_el().local() {
            "Code" => code = Some(try_data(tag)?.into_owned()),
            "Message" => message = Some(try_data(tag)?.into_owned()),
            _ => {}
        }
        Ok(())
    });
    let builder = ErrorMetadata::builder();
    match (read, code) {
        (Ok(()), Some(code)) => builder.code(code).message(message.unwrap_or_default()).build(),
        (Ok(()) | Err(_), _) => builder.build(),
    }
}

fn described(body: &[u8]) -> Result<Vec<Described>, XmlDecodeError> {
    let mut out = Vec::new();
    each(body, &["DescribeManagedPrefixListsResponse", "prefixListSet"], |item| {
        let mut list = Described::default();
        while let Some(mut tag) = item.next_tag() {
            let field = match tag.start_el().local() {
                "prefixListId" => &mut list.id,
                "prefixListName" => &mut list.name,
                "ownerId" => &mut list.owner,
                _ => continue,
            };
            *field = try_data(&mut tag)?.into_owned();
        }
        out.push(list);
        Ok(())
    })?;
    Ok(out)
}

fn entries(body: &[u8]) -> Result<Entries, XmlDecodeError> {
    let mut out = Entries::default();
    let root = "GetManagedPrefixListEntriesResponse";
    each(body, &[root, "entrySet"], |item| {
        while let Some(mut tag) = item.next_tag() {
            if tag.start_el().local() == "cidr" {
                out.cidrs.push(try_data(&mut tag)?.into_owned());
            }
        }
        Ok(())
    })?;
    each(body, &[root], |tag| {
        if tag.start_el().local() == "nextToken" {
            let token = try_data(tag)?.into_owned();
            out.next = Some(token).filter(|t| !t.is_empty());
        }
        Ok(())
    })?;
    Ok(out)
}

/// Calls `visit` for every element right below the path, which begins with the root. Another root is an error.
fn each(
    body: &[u8],
    path: &[&str],
    mut visit: impl FnMut(&mut ScopedDecoder<'_, '_>) -> Result<(), XmlDecodeError>,
) -> Result<(), XmlDecodeError> {
    let mut document = Document::try_from(body)?;
    let mut root = document.root_element()?;
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    if root.start_el().local() != *first {
        return Err(XmlDecodeError::custom("another root"));
    }
    // The reader takes the end of the text for the end of the document.
    if !body.trim_ascii_end().ends_with(format!("</{first}>").as_bytes()) {
        return Err(XmlDecodeError::custom("cut off"));
    }
    descend(&mut root, rest, &mut visit)
}

fn descend(
    within: &mut ScopedDecoder<'_, '_>,
    path: &[&str],
    visit: &mut dyn FnMut(&mut ScopedDecoder<'_, '_>) -> Result<(), XmlDecodeError>,
) -> Result<(), XmlDecodeError> {
    while let Some(mut tag) = within.next_tag() {
        match path.split_first() {
            None => visit(&mut tag)?,
            Some((next, rest)) if tag.start_el().local() == *next => descend(&mut tag, rest, visit)?,
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_their_owner() {
        let body = br#"<?xml version="1.0"?>
<DescribeManagedPrefixListsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
<prefixListSet>
<item><ownerId>AWS</ownerId><prefixListId>pl-1</prefixListId><prefixListName>com.amazonaws.eu-west-1.s3</prefixListName><tagSet><item><key>ownerId</key></item></tagSet></item>
<item><prefixListId>pl-2</prefixListId><ownerId>123456789012</ownerId></item>
</prefixListSet></DescribeManagedPrefixListsResponse>"#;
        let list = |id: &str, name: &str, owner: &str| Described {
            id: id.into(),
            name: name.into(),
            owner: owner.into(),
        };
        assert_eq!(
            described(body).unwrap(),
            [
                list("pl-1", "com.amazonaws.eu-west-1.s3", "AWS"),
                list("pl-2", "", "123456789012")
            ]
        );
    }

    #[test]
    fn entries_are_read_with_the_token_of_the_next_page() {
        let body = b"<GetManagedPrefixListEntriesResponse><entrySet><item><cidr>52.216.0.0/15</cidr><description>x</description></item>\
            <item><cidr>3.5.64.0/21</cidr></item></entrySet><nextToken>more</nextToken></GetManagedPrefixListEntriesResponse>";
        let want = Entries {
            cidrs: vec!["52.216.0.0/15".into(), "3.5.64.0/21".into()],
            next: Some("more".into()),
        };
        assert_eq!(entries(body).unwrap(), want);
    }

    #[test]
    fn an_answer_that_is_cut_off_or_another_is_not_half_a_list() {
        let whole = b"<GetManagedPrefixListEntriesResponse><entrySet><item><cidr>52.216.0.0/15</cidr></item></entrySet></GetManagedPrefixListEntriesResponse>";
        assert!(entries(whole).is_ok());
        for cut in 0..whole.len() {
            assert!(entries(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert!(entries(b"<html></html>").is_err());
    }

    #[test]
    fn an_error_has_a_code_if_it_is_ec2s() {
        let body = b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized.</Message></Error></Errors><RequestID>r</RequestID></Response>";
        let error = refusal(body);
        assert_eq!(
            (error.code(), error.message()),
            (Some("UnauthorizedOperation"), Some("You are not authorized."))
        );
        assert_eq!(refusal(b"<html>gateway</html>").code(), None);
        assert_eq!(refusal(b"").code(), None);
    }

    #[test]
    fn parameters_are_encoded() {
        assert_eq!(
            form("Do", &[("Name", "a b/c&d=é")]),
            "Action=Do&Version=2016-11-15&Name=a%20b%2Fc%26d%3D%C3%A9"
        );
    }
}
