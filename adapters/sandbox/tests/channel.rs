//! The channel without real money keeps its word as a real one does: one number is one payment or one refund, nothing goes back that did not come, and what
//! was not taken is said again.

use std::collections::BTreeSet;
use std::sync::Arc;

use commands::port::{ChannelError, ChannelReport, PayOrder, PaymentChannel as _, RefundOrder};
use domain::testing::at;
use domain::time::Timestamp;
use domain::units::Money;
use sandbox::{Behaviour, SandboxChannel};

fn noon() -> Timestamp {
    at("2026-03-01T12:00:00Z")
}

fn yuan(text: &str) -> Money {
    text.parse().unwrap()
}

fn order(number: &str, amount: &str) -> PayOrder {
    PayOrder {
        payment_no: number.to_owned(),
        amount: yuan(amount),
        description: "charging".to_owned(),
        expires_at: noon().plus_seconds(900),
        ordered_at: noon(),
        is_made_up: false,
    }
}

fn refund(number: &str, of: &str, amount: &str) -> RefundOrder {
    RefundOrder {
        payment_no: of.to_owned(),
        refund_no: number.to_owned(),
        amount: yuan(amount),
        reason: "rest".to_owned(),
        ordered_at: noon(),
    }
}

/// The payer pays when the test says so.
fn waiting() -> Arc<SandboxChannel> {
    SandboxChannel::in_memory(Behaviour::Silent, false).unwrap().0
}

fn paying() -> Arc<SandboxChannel> {
    SandboxChannel::in_memory(Behaviour::Silent, true).unwrap().0
}

fn balance(channel: &SandboxChannel) -> Money {
    channel.statement().unwrap().balance()
}

#[track_caller]
fn is_refused<T: std::fmt::Debug>(answer: Result<T, ChannelError>) {
    let error = answer.unwrap_err();
    assert!(matches!(error, ChannelError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn the_same_order_again_is_the_same_order() {
    let channel = paying();
    let token = channel.prepare(order("1", "50")).await.unwrap();
    assert_eq!(channel.prepare(order("1", "50")).await.unwrap(), token);
    assert_eq!(balance(&channel), yuan("50"));
}

#[tokio::test]
async fn a_number_is_not_used_for_another_amount() {
    let channel = paying();
    channel.prepare(order("1", "50")).await.unwrap();
    is_refused(channel.prepare(order("1", "51")).await);
    assert_eq!(balance(&channel), yuan("50"));
}

#[tokio::test]
async fn every_record_says_that_it_is_the_sandbox() {
    let channel = paying();
    let token = channel.prepare(order("1", "50")).await.unwrap();
    channel.refund(refund("r", "1", "5")).await.unwrap();
    let Some(ChannelReport::Paid { channel_transaction, .. }) = channel.query("1").await.unwrap() else { panic!() };
    let Some(ChannelReport::Refunded { channel_refund, .. }) = channel.query_refund("r").await.unwrap() else { panic!() };
    assert!([token, channel_transaction, channel_refund].iter().all(|text| text.starts_with("sandbox")));
}

#[tokio::test]
async fn paying_twice_is_paying_once() {
    let channel = waiting();
    channel.prepare(order("1", "50")).await.unwrap();
    assert_eq!(channel.query("1").await.unwrap(), None);
    channel.pay("1", noon()).await.unwrap();
    channel.pay("1", noon().plus_seconds(60)).await.unwrap();
    assert_eq!(balance(&channel), yuan("50"));
    let Some(ChannelReport::Paid { paid_at, amount, .. }) = channel.query("1").await.unwrap() else { panic!() };
    assert_eq!((paid_at, amount), (noon(), yuan("50")));
}

#[tokio::test]
async fn what_nobody_ordered_cannot_be_paid() {
    is_refused(waiting().pay("1", noon()).await);
}

#[tokio::test]
async fn a_closed_order_takes_no_money() {
    let channel = waiting();
    channel.prepare(order("1", "50")).await.unwrap();
    channel.close("1", noon()).await.unwrap();
    channel.close("1", noon()).await.unwrap();
    is_refused(channel.pay("1", noon()).await);
    assert_eq!((balance(&channel), channel.query("1").await.unwrap()), (yuan("0"), None));
}

#[tokio::test]
async fn an_order_that_was_closed_before_it_came_stays_closed() {
    let channel = paying();
    channel.close("1", noon()).await.unwrap();
    is_refused(channel.prepare(order("1", "50")).await);
    assert_eq!(balance(&channel), yuan("0"));
}

#[tokio::test]
async fn a_paid_order_cannot_be_closed() {
    let channel = paying();
    channel.prepare(order("1", "50")).await.unwrap();
    is_refused(channel.close("1", noon()).await);
    assert_eq!(balance(&channel), yuan("50"));
}

#[tokio::test]
async fn a_failed_payment_is_failed() {
    let channel = waiting();
    channel.prepare(order("1", "50")).await.unwrap();
    channel.fail("1", noon(), "no funds").await.unwrap();
    is_refused(channel.pay("1", noon()).await);
    let failed = ChannelReport::PaymentFailed { payment_no: "1".to_owned(), reason: "no funds".to_owned(), failed_at: noon() };
    assert_eq!(channel.query("1").await.unwrap(), Some(failed));
    is_refused(channel.refund(refund("r", "1", "5")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_closing_and_paying_one_wins() {
    let channel = waiting();
    for number in 0..100 {
        let number = number.to_string();
        channel.prepare(order(&number, "1")).await.unwrap();
        let (payer, closer) = (Arc::clone(&channel), Arc::clone(&channel));
        let (paid, closed) = (number.clone(), number.clone());
        let paid = tokio::spawn(async move { payer.pay(&paid, noon()).await });
        let closed = tokio::spawn(async move { closer.close(&closed, noon()).await });
        let (paid, closed) = (paid.await.unwrap(), closed.await.unwrap());
        assert_eq!(paid.is_ok(), closed.is_err(), "{paid:?} {closed:?}");
        assert_eq!(channel.query(&number).await.unwrap().is_some(), paid.is_ok());
    }
}

#[tokio::test]
async fn one_refund_number_is_one_refund() {
    let channel = paying();
    channel.prepare(order("1", "50")).await.unwrap();
    channel.prepare(order("2", "50")).await.unwrap();
    for _ in 0..3 {
        channel.refund(refund("r", "1", "20")).await.unwrap();
    }
    is_refused(channel.refund(refund("r", "1", "21")).await);
    is_refused(channel.refund(refund("r", "2", "20")).await);
    assert_eq!(balance(&channel), yuan("80"));
    // Two refunds of the same amount are two when they have two numbers.
    channel.refund(refund("s", "1", "20")).await.unwrap();
    assert_eq!(balance(&channel), yuan("60"));
}

#[tokio::test]
async fn nothing_goes_back_that_did_not_come() {
    let channel = waiting();
    is_refused(channel.refund(refund("r", "1", "1")).await);
    channel.prepare(order("1", "50")).await.unwrap();
    is_refused(channel.refund(refund("r", "1", "1")).await);
    channel.pay("1", noon()).await.unwrap();
    is_refused(channel.refund(refund("r", "1", "50.01")).await);
    channel.refund(refund("r", "1", "30")).await.unwrap();
    is_refused(channel.refund(refund("s", "1", "20.01")).await);
    channel.refund(refund("t", "1", "20")).await.unwrap();
    is_refused(channel.refund(refund("u", "1", "0.01")).await);
    assert_eq!((balance(&channel), channel.query_refund("s").await.unwrap()), (yuan("0"), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_refunds_at_once_do_not_exceed_the_payment() {
    let channel = paying();
    channel.prepare(order("1", "10")).await.unwrap();
    let refunds = (0..40).map(|number| {
        let channel = Arc::clone(&channel);
        tokio::spawn(async move { channel.refund(refund(&number.to_string(), "1", "1")).await.is_ok() })
    });
    let mut done = 0;
    for refund in refunds.collect::<Vec<_>>() {
        done += u32::from(refund.await.unwrap());
    }
    assert_eq!((done, balance(&channel)), (10, yuan("0")));
}

#[tokio::test]
async fn the_statement_counts_and_sums_day_by_day() {
    let channel = waiting();
    for (number, paid_at) in [("1", "2026-03-01T23:59:59Z"), ("2", "2026-03-02T00:00:00Z"), ("3", "2026-03-02T12:00:00Z")] {
        channel.prepare(order(number, "10.01")).await.unwrap();
        channel.pay(number, at(paid_at)).await.unwrap();
    }
    channel.prepare(order("4", "99")).await.unwrap();
    channel.refund(RefundOrder { ordered_at: at("2026-03-03T00:00:00Z"), ..refund("r", "1", "3.33") }).await.unwrap();
    let statement = channel.statement().unwrap();
    let days: Vec<_> = statement
        .days
        .iter()
        .map(|day| (day.day.as_str(), day.receipts, day.received.to_string(), day.refunds, day.refunded.to_string()))
        .collect();
    assert_eq!(
        days,
        [
            ("2026-03-01", 1, "10.01".to_owned(), 0, "0.00".to_owned()),
            ("2026-03-02", 2, "20.02".to_owned(), 0, "0.00".to_owned()),
            ("2026-03-03", 0, "0.00".to_owned(), 1, "3.33".to_owned()),
        ]
    );
    assert_eq!(statement.balance(), yuan("26.70"));
}

/// How many answers get lost of so many orders and refunds, and what is on the books afterwards.
async fn trouble(seed: u64) -> (Vec<bool>, Money) {
    let channel = SandboxChannel::in_memory(Behaviour::realistic(seed), true).unwrap().0;
    let mut lost = Vec::new();
    for number in 0..60 {
        let number = number.to_string();
        lost.push(channel.prepare(order(&number, "10")).await.is_err());
        lost.push(channel.refund(refund(&number, &number, "4")).await.is_err());
    }
    (lost, balance(&channel))
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_was_carried_out_and_can_be_asked_for_again() {
    let (lost, balance) = trouble(7).await;
    assert!(lost.contains(&true) && lost.contains(&false));
    assert_eq!(balance, yuan("360"), "every order was paid and every refund given, whatever the answer");
    assert_eq!(trouble(7).await.0, lost, "the same seed loses the same answers");
    assert_ne!(trouble(8).await.0, lost);
    let channel = SandboxChannel::in_memory(Behaviour::realistic(7), true).unwrap().0;
    while channel.prepare(order("1", "10")).await.is_err() {}
    while let Err(error) = channel.refund(refund("r", "1", "4")).await {
        assert!(error.is_retryable());
    }
    for _ in 0..20 {
        let _ = channel.refund(refund("r", "1", "4")).await;
    }
    assert_eq!(channel.statement().unwrap().balance(), yuan("6"));
}

#[tokio::test(start_paused = true)]
async fn reports_come_late_twice_out_of_order_or_never() {
    let (channel, mut reports) = SandboxChannel::in_memory(Behaviour::realistic(1), false).unwrap();
    for number in 0..100 {
        let number = format!("{number:03}");
        while channel.prepare(order(&number, "1")).await.is_err() {}
        channel.pay(&number, noon()).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let mut seen = Vec::new();
    while let Some(ChannelReport::Paid { payment_no, .. }) = reports.next_now() {
        seen.push(payment_no);
    }
    let different: BTreeSet<_> = seen.iter().collect();
    assert!(different.len() < 100, "none was lost");
    assert!(different.len() > 60, "too many were lost");
    assert!(seen.len() > different.len(), "none came twice");
    assert!(!seen.is_sorted(), "all came in order");
}

#[tokio::test]
async fn a_prompt_channel_reports_once_and_at_once() {
    let (channel, mut reports) = SandboxChannel::in_memory(Behaviour::Prompt, true).unwrap();
    channel.prepare(order("1", "50")).await.unwrap();
    assert!(matches!(reports.next_now(), Some(ChannelReport::Paid { .. })));
    channel.refund(refund("r", "1", "5")).await.unwrap();
    assert!(matches!(reports.next_now(), Some(ChannelReport::Refunded { .. })));
    assert_eq!(reports.next_now(), None);
}

#[tokio::test]
async fn its_books_are_copied_while_they_are_written_and_nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let (books, copy) = (directory.path().join("books.db"), directory.path().join("copy.db"));
    let open = |path: &std::path::Path| SandboxChannel::open(path, Behaviour::Silent, true).unwrap().0;
    let channel = open(&books);
    channel.prepare(order("1", "50")).await.unwrap();
    sandbox::copy::copy(&books, &copy).unwrap();
    channel.prepare(order("2", "8")).await.unwrap();
    assert_eq!((balance(&open(&copy)), balance(&channel)), (yuan("50"), yuan("58")));
    assert!(sandbox::copy::copy(&books, &copy).unwrap_err().to_string().contains("is not overwritten"));
    #[cfg(unix)]
    for file in std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?} is anybody's", file.path());
    }
    assert_eq!(balance(&open(&copy)), yuan("50"));
}

#[tokio::test]
async fn a_refund_keeps_the_reason_it_was_asked_for_with() {
    let channel = paying();
    channel.prepare(order("1", "50")).await.unwrap();
    channel.refund(refund("r", "1", "5")).await.unwrap();
    assert_eq!(channel.refund_reason("r").unwrap().as_deref(), Some("rest"));
    // The same number with another reason is another content, which real channels refuse; so is one that is too long for them.
    is_refused(channel.refund(RefundOrder { reason: "other".to_owned(), ..refund("r", "1", "5") }).await);
    is_refused(channel.refund(RefundOrder { reason: "线".repeat(81), ..refund("s", "1", "5") }).await);
    is_refused(channel.refund(RefundOrder { reason: "two\nlines".to_owned(), ..refund("s", "1", "5") }).await);
    channel.refund(RefundOrder { reason: "线".repeat(80), ..refund("s", "1", "5") }).await.unwrap();
    assert_eq!(channel.refund_reason("unknown").unwrap(), None);
}

#[tokio::test]
async fn books_from_before_reasons_were_kept_are_read_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sandbox.db");
    {
        let (channel, _reports) = SandboxChannel::open(&path, Behaviour::Silent, true).unwrap();
        channel.prepare(order("1", "50")).await.unwrap();
        channel.refund(refund("r", "1", "5")).await.unwrap();
    }
    rusqlite::Connection::open(&path).unwrap().execute_batch("ALTER TABLE refunds DROP COLUMN reason").unwrap();
    let (channel, _reports) = SandboxChannel::open(&path, Behaviour::Silent, true).unwrap();
    assert_eq!(channel.refund_reason("r").unwrap(), None);
    channel.refund(refund("r", "1", "5")).await.unwrap();
    channel.refund(refund("s", "1", "6")).await.unwrap();
    assert_eq!((balance(&channel), channel.refund_reason("s").unwrap().as_deref()), (yuan("39"), Some("rest")));
}

#[tokio::test]
async fn a_payer_who_was_made_up_pays_when_its_generator_says_so() {
    let channel = paying();
    channel.prepare(PayOrder { is_made_up: true, ..order("1", "50") }).await.unwrap();
    assert_eq!(balance(&channel), yuan("0"));
    channel.pay("1", noon()).await.unwrap();
    assert_eq!(balance(&channel), yuan("50"));
}
