//! The prefix lists that AWS manages, page by page.

use super::*;
use crate::domain::observed::{ErrorClass, Read};

const LISTS: &str = "<DescribeManagedPrefixListsResponse><prefixListSet><item><ownerId>AWS</ownerId>\
    <prefixListId>pl-1</prefixListId><prefixListName>com.amazonaws.eu-west-1.s3</prefixListName></item></prefixListSet>\
    </DescribeManagedPrefixListsResponse>";

/// A page of `GetManagedPrefixListEntries`.
fn entries(cidr: &str, next: Option<&str>) -> Answer {
    let next = next
        .map(|token| format!("<nextToken>{token}</nextToken>"))
        .unwrap_or_default();
    ok(format!(
        "<GetManagedPrefixListEntriesResponse><entrySet><item><cidr>{cidr}</cidr></item></entrySet>{next}\
         </GetManagedPrefixListEntriesResponse>"
    ))
}

async fn list(answer: impl Fn(Option<String>) -> Answer + Send + Sync + 'static) -> (Aws, Read<Vec<String>>) {
    let aws = Aws::new(move |request, _| match request.operation.as_str() {
        "DescribeManagedPrefixLists" => ok(LISTS),
        _ => answer(request.parameter("NextToken")),
    })
    .await;
    let read = aws.session.prefix_list("s3", AGE).await;
    (aws, read.map(|cidrs| cidrs.iter().map(ToString::to_string).collect()))
}

#[tokio::test(start_paused = true)]
async fn every_page_of_a_prefix_list_is_read() {
    let (_, read) = list(|token| match token.as_deref() {
        None => entries("52.216.0.0/15", Some("second")),
        Some("second") => entries("3.5.64.0/21", Some("third")),
        Some(_) => entries("2a05:d07a:a000::/40", None),
    })
    .await;
    assert_eq!(read.unwrap(), ["3.5.64.0/21", "52.216.0.0/15", "2a05:d07a:a000::/40"]);
}

#[tokio::test(start_paused = true)]
async fn a_prefix_list_whose_pages_repeat_is_not_taken_for_read() {
    let (aws, read) = list(|_| entries("52.216.0.0/15", Some("same"))).await;
    let error = read.unwrap_err();
    assert_eq!(
        (error.operation, error.class, error.message.as_str()),
        (
            "GetManagedPrefixListEntries",
            ErrorClass::Transient,
            "the answer has no next page; it may come from something else than AWS"
        )
    );
    assert_eq!(aws.count("GetManagedPrefixListEntries"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_prefix_list_without_end_is_left_at_its_bound() {
    let (aws, read) = list(|token| {
        let page = token.map_or(0, |token| token.parse::<u32>().unwrap());
        entries("52.216.0.0/15", Some(&(page + 1).to_string()))
    })
    .await;
    assert_eq!(read.unwrap_err().class, ErrorClass::Terminal);
    assert_eq!(aws.count("GetManagedPrefixListEntries"), 20);
}
