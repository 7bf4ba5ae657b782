//! Refunds that somebody asks for while the ledger is about to give money back itself: what goes back is what the books say, once.

use commands::CommandError;
use commands::payment::Disposal;
use commands::session::StartPayment;
use domain::ids::PaymentId;
use domain::log::StreamId;
use domain::payment::{Payment, PaymentCommand, PaymentError, PaymentStatus};
use domain::session::Session;
use domain::units::Money;

use crate::books::are_in_order;
use crate::stories::{bill, calm, paid, started, with_slow_payers};
use crate::world::{World, connector, prepaid, user, yuan};

fn exceeds(amount: &str, refundable: &str) -> CommandError {
    PaymentError::ExceedsRefundable { amount: yuan(amount), refundable: yuan(refundable) }.into()
}

async fn refund(world: &World, payment: PaymentId, amount: &str) -> Result<(), CommandError> {
    world.edge.refund_payment(&world.caller(), &world.request(), payment, yuan(amount), "complaint".into()).await.map(|_| ())
}

fn held(world: &World) -> Money {
    world.channel.statement().unwrap().balance()
}

/// Lets the managers come as far as they can without one kind of stream, and stops them there.
async fn stop_before(world: &mut World, category: &'static str, until: impl AsyncFnOnce(&World)) {
    world.wire.block(Some(category));
    until(world).await;
    world.settle_down().await;
    world.stop_managers().await;
    world.wire.block(None);
}

async fn go_on(world: &mut World) {
    world.start_managers().await;
    world.settle_down().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_ledger_is_about_to_give_back_is_not_given_back_for_a_complaint_too() {
    let mut world = calm().await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    let (session, payment) = (requested.session_id, requested.payment_id.unwrap());
    world.settle_down().await;
    stop_before(&mut world, "payment", async |world| world.charge(session, "20", 60).await).await;
    // The rest of 26.00 is promised, and not on its way yet: what is asked for here comes off the bill of 24.00.
    assert_eq!(paid(&world.session(session).await), "24.00");
    refund(&world, payment, "20").await.unwrap();
    assert_eq!(refund(&world, payment, "24.01").await.unwrap_err(), exceeds("24.01", "24"));
    go_on(&mut world).await;
    assert_eq!((bill(&world.session(session).await), held(&world)), ("4.00".to_owned(), yuan("4")));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_its_session_has_not_heard_of_is_not_given_back_behind_its_back() {
    let mut world = calm().await;
    let session = started(&world, 2, StartPayment::Postpaid).await;
    world.charge(session, "20", 60).await;
    world.settle_down().await;
    let mut payment = None;
    stop_before(&mut world, "session", async |world| payment = Some(world.pay_for(session, "24").await.unwrap())).await;
    let payment = payment.unwrap();
    assert_eq!(world.payment(payment).await.status(), PaymentStatus::Succeeded);
    assert_eq!(refund(&world, payment, "24").await.unwrap_err(), exceeds("24", "0"));
    go_on(&mut world).await;
    assert_eq!((paid(&world.session(session).await), held(&world)), ("24.00".to_owned(), yuan("24")));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_back_because_a_session_never_began_goes_back_whole() {
    let mut world = calm().await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    let (session, payment) = (requested.session_id, requested.payment_id.unwrap());
    world.settle_down().await;
    stop_before(&mut world, "payment", async |world| world.pass(90, 10).await).await;
    assert!(matches!(world.session(session).await, Session::NotStarted(_)));
    assert_eq!(refund(&world, payment, "20").await.unwrap_err(), exceeds("20", "0"));
    go_on(&mut world).await;
    assert_eq!(held(&world), yuan("0"));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_complaint_is_worth_no_more_than_the_bill_has_taken_of_the_payment() {
    let world = calm().await;
    let session = started(&world, 2, StartPayment::Postpaid).await;
    world.charge(session, "20", 60).await;
    world.settle_down().await;
    let payment = world.pay_for(session, "1").await.unwrap();
    world.settle_down().await;
    assert_eq!(refund(&world, payment, "24").await.unwrap_err(), exceeds("24", "1"));
    assert_eq!(bill(&world.session(session).await), "24.00");
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_receipt_that_staff_put_into_the_wallet_does_not_go_back_as_well() {
    let mut world = with_slow_payers().await;
    let payment = world.top_up(user(0), "50").await;
    world.settle_down().await;
    world.stop_managers().await;
    let envelope = world.caller().envelope(world.message(), payment.0);
    world
        .edge
        .ledger
        .handle::<Payment>(&StreamId::payment(payment), PaymentCommand::Close { payment_id: payment }, &envelope)
        .await
        .unwrap();
    world.pays(payment).await;
    let receipt = world.payment(payment).await.receipt().cloned().unwrap();
    assert!(receipt.late);
    let (caller, ids) = (world.caller(), world.request());
    world.edge.resolve_receipt(&caller, &ids, payment, receipt.channel_transaction, Disposal::Apply, "kept".into()).await.unwrap();
    go_on(&mut world).await;
    assert_eq!((world.wallet(user(0)).await.balance(), held(&world)), (yuan("50"), yuan("50")));
    are_in_order(&world).await;
}
