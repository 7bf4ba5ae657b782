//! What is there is applied to the bill; what is missing is receivable; what is too much goes back to where it came from.

use super::*;
use crate::testing::given;

fn done(mode: PaymentMode, energy: &str) -> Vec<SessionEvent> {
    with(charging(mode), [stopped("10:30"), accepted(energy, []), billed(mode, energy)])
}

/// Closed by hand with one energy, billed, settled by `settlement`, and then corrected by the record's.
fn corrected_from(mode: PaymentMode, energies: [&str; 2], settlement: Vec<SessionEvent>) -> Vec<SessionEvent> {
    let [first, second] = energies;
    let before = with(charging(mode), [closed(first, "10:30"), billed(mode, first)]);
    let correction = corrected(mode, bill("", "10:30", first), bill("-2", "10:30", second));
    [before, settlement, vec![accepted(second, [Oddity::Late]), correction]].concat()
}

/// A settlement in the order of its fields; zero is left out.
#[derive(Default)]
struct Settles {
    prepaid: &'static str,
    captured: &'static str,
    refund: Option<(PaymentId, &'static str)>,
    receivable: &'static str,
}

fn settled(mode: PaymentMode, due: &str, settles: &Settles) -> SessionEvent {
    let amount = |text: &str| if text.is_empty() { Money::ZERO } else { money(text) };
    SessionEvent::Settled {
        refs: refs(),
        mode,
        due: money(due),
        prepaid_applied: amount(settles.prepaid),
        captured: amount(settles.captured),
        refund: settles.refund.map_or(Money::ZERO, |(_, refund)| money(refund)),
        refund_to: settles.refund.map(|(payment, _)| payment),
        receivable: amount(settles.receivable),
        note: None,
    }
}

/// The same, of a bill that replaced another one because of a late record.
fn resettled(mode: PaymentMode, due: &str, settles: &Settles) -> SessionEvent {
    because("the device's record came after the bill", settled(mode, due, settles))
}

fn because(why: &str, mut settled: SessionEvent) -> SessionEvent {
    if let SessionEvent::Settled { note, .. } = &mut settled {
        *note = Some(why.to_owned());
    }
    settled
}

fn pay(payment: u128, amount: &str) -> SessionCommand {
    SessionCommand::PayReceivable { payment_id: id(payment), amount: money(amount) }
}

fn paid(payment: u128, amount: &str, excess: &str, receivable: &str) -> SessionEvent {
    let [amount, excess, receivable] = [amount, excess, receivable].map(money);
    SessionEvent::ReceivablePaid { refs: refs(), payment_id: id(payment), amount, excess, receivable }
}

fn prepaid_30() -> SessionEvent {
    settled(prepaid(), "30.00", &Settles { prepaid: "30.00", refund: Some((prepayment(), "20.00")), ..Settles::default() })
}

fn captured_30() -> SessionEvent {
    settled(wallet(), "30.00", &Settles { captured: "30.00", ..Settles::default() })
}

fn owed(due: &'static str) -> SessionEvent {
    settled(PaymentMode::Postpaid, due, &Settles { receivable: due, ..Settles::default() })
}

#[test]
fn the_rest_of_a_prepayment_goes_back() {
    given::<Session>(done(prepaid(), "30")).when(settle("0")).then([prepaid_30()]);
}

#[test]
fn a_prepayment_below_the_bill_leaves_the_rest_receivable() {
    let settles = Settles { prepaid: "50.00", receivable: "12.00", ..Settles::default() };
    given::<Session>(done(prepaid(), "62")).when(settle("0")).then([settled(prepaid(), "62.00", &settles)]);
    let exact = Settles { prepaid: "50.00", ..Settles::default() };
    given::<Session>(done(prepaid(), "50")).when(settle("0")).then([settled(prepaid(), "50.00", &exact)]);
}

#[test]
fn a_free_session_gives_all_of_the_prepayment_back() {
    let settles = Settles { refund: Some((prepayment(), "50.00")), ..Settles::default() };
    given::<Session>(done(prepaid(), "0")).when(settle("0")).then([settled(prepaid(), "0.00", &settles)]);
}

#[test]
fn the_wallet_pays_what_was_captured_and_the_rest_is_receivable() {
    given::<Session>(done(wallet(), "30")).when(settle("30")).then([captured_30()]);
    let partial = Settles { captured: "18.50", receivable: "11.50", ..Settles::default() };
    given::<Session>(done(wallet(), "30")).when(settle("18.50")).then([settled(wallet(), "30.00", &partial)]);
    let nothing = Settles { receivable: "30.00", ..Settles::default() };
    given::<Session>(done(wallet(), "30")).when(settle("0")).then([settled(wallet(), "30.00", &nothing)]);
}

#[test]
fn what_is_paid_later_is_receivable() {
    given::<Session>(done(PaymentMode::Postpaid, "30")).when(settle("0")).then([owed("30.00")]);
    given::<Session>(done(PaymentMode::Postpaid, "0")).when(settle("0")).then([settled(
        PaymentMode::Postpaid,
        "0.00",
        &Settles::default(),
    )]);
}

#[test]
fn it_is_settled_once() {
    given::<Session>(with(done(prepaid(), "30"), [prepaid_30()])).when(settle("0")).then_nothing();
    given::<Session>(with(done(wallet(), "30"), [captured_30()])).when(settle("30")).then_nothing();
    given::<Session>(with(done(PaymentMode::Postpaid, "30"), [owed("30.00")])).when(settle("0")).then_nothing();
}

#[test]
fn a_capture_that_is_heard_of_after_the_settlement_counts() {
    let nothing = || settled(wallet(), "30.00", &Settles { receivable: "30.00", ..Settles::default() });
    let captured = || settled(wallet(), "30.00", &Settles { captured: "18.50", receivable: "11.50", ..Settles::default() });
    given::<Session>(with(done(wallet(), "30"), [nothing()])).when(settle("18.50")).then([captured()]);
    given::<Session>(with(done(wallet(), "30"), [nothing(), captured()])).when(settle("18.50")).then_nothing();
    given::<Session>(with(done(wallet(), "30"), [nothing(), captured()])).when(settle("0")).then_nothing();
}

#[test]
fn before_there_is_a_bill_nothing_is_settled_or_paid() {
    given::<Session>([]).when(settle("0")).then_refused(SessionError::Unknown);
    given::<Session>([]).when(pay(80, "1")).then_refused(SessionError::Unknown);
    for open in [vec![requested(prepaid())], told(prepaid()), charging(prepaid()), with(charging(prepaid()), [accepted("30", [])])] {
        given::<Session>(open.clone()).when(settle("0")).then_refused(SessionError::NotBilled);
        given::<Session>(open).when(pay(80, "1")).then_refused(SessionError::NotBilled);
    }
}

#[test]
fn an_amount_that_is_none_is_refused() {
    let owing = || with(done(PaymentMode::Postpaid, "30"), [owed("30.00")]);
    for amount in ["0.00", "-1.00"] {
        given::<Session>(owing()).when(pay(80, amount)).then_refused(SessionError::AmountNotPositive { amount: money(amount) });
    }
    given::<Session>(done(wallet(), "30")).when(settle("-1")).then_refused(SessionError::AmountNotPositive { amount: money("-1.00") });
}

#[test]
fn a_receivable_is_paid_in_parts() {
    let owing = || with(done(PaymentMode::Postpaid, "30"), [owed("30.00")]);
    given::<Session>(owing()).when(pay(80, "30")).then([paid(80, "30.00", "0.00", "0.00")]);
    given::<Session>(owing()).when(pay(80, "12")).then([paid(80, "12.00", "0.00", "18.00")]);
    given::<Session>(with(owing(), [paid(80, "12.00", "0.00", "18.00")])).when(pay(81, "18")).then([paid(81, "18.00", "0.00", "0.00")]);
}

#[test]
fn what_is_paid_too_much_goes_back() {
    let owing = || with(done(PaymentMode::Postpaid, "30"), [owed("30.00")]);
    given::<Session>(owing()).when(pay(80, "35")).then([paid(80, "30.00", "5.00", "0.00")]);
    let even = || with(owing(), [paid(80, "30.00", "0.00", "0.00")]);
    given::<Session>(even()).when(pay(81, "30")).then([paid(81, "0.00", "30.00", "0.00")]);
}

#[test]
fn the_same_payment_counts_once() {
    let owing = || with(done(PaymentMode::Postpaid, "30"), [owed("30.00")]);
    given::<Session>(with(owing(), [paid(80, "12.00", "0.00", "18.00")])).when(pay(80, "12")).then_nothing();
    let excess = || [paid(80, "30.00", "0.00", "0.00"), paid(81, "0.00", "30.00", "0.00")];
    given::<Session>(with(owing(), excess())).when(pay(81, "30")).then_nothing();
    given::<Session>(with(done(prepaid(), "62"), [])).when(pay(70, "50")).then_nothing();
}

#[test]
fn a_payment_that_comes_before_the_settlement_leaves_more_of_the_prepayment() {
    given::<Session>(done(prepaid(), "30")).when(pay(80, "10")).then([paid(80, "10.00", "0.00", "20.00")]);
    let settles = Settles { prepaid: "20.00", refund: Some((prepayment(), "30.00")), ..Settles::default() };
    given::<Session>(with(done(prepaid(), "30"), [paid(80, "10.00", "0.00", "20.00")])).when(settle("0")).then([settled(
        prepaid(),
        "30.00",
        &settles,
    )]);
    given::<Session>(with(done(wallet(), "30"), [paid(80, "10.00", "0.00", "20.00")])).when(settle("30")).then([
        settled(wallet(), "30.00", &Settles { captured: "30.00", ..Settles::default() }),
        settled(wallet(), "30.00", &Settles { refund: Some((id(80), "10.00")), ..Settles::default() }),
    ]);
}

#[test]
fn a_higher_price_after_a_correction_is_receivable() {
    for (mode, settlement) in [(prepaid(), prepaid_30()), (wallet(), captured_30())] {
        let more = Settles { receivable: "15.00", ..Settles::default() };
        given::<Session>(corrected_from(mode, ["30", "45"], vec![settlement.clone()]))
            .when(settle(if mode == wallet() { "30" } else { "0" }))
            .then([resettled(mode, "45.00", &more)]);
        let then_settled = with(corrected_from(mode, ["30", "45"], vec![settlement]), [resettled(mode, "45.00", &more)]);
        given::<Session>(then_settled.clone()).when(settle("0")).then_nothing();
        given::<Session>(then_settled).when(pay(80, "15")).then([paid(80, "15.00", "0.00", "0.00")]);
    }
    let paid_once = vec![owed("30.00"), paid(80, "30.00", "0.00", "0.00")];
    given::<Session>(corrected_from(PaymentMode::Postpaid, ["30", "45"], paid_once)).when(settle("0")).then([resettled(
        PaymentMode::Postpaid,
        "45.00",
        &Settles { receivable: "15.00", ..Settles::default() },
    )]);
}

#[test]
fn a_lower_price_after_a_correction_goes_back_to_where_the_money_came_from() {
    given::<Session>(corrected_from(prepaid(), ["30", "20"], vec![prepaid_30()])).when(settle("0")).then([resettled(
        prepaid(),
        "20.00",
        &Settles { prepaid: "-10.00", refund: Some((prepayment(), "10.00")), ..Settles::default() },
    )]);
    given::<Session>(corrected_from(wallet(), ["30", "20"], vec![captured_30()])).when(settle("30")).then([resettled(
        wallet(),
        "20.00",
        &Settles { captured: "-10.00", ..Settles::default() },
    )]);
    let in_parts = vec![owed("30.00"), paid(80, "22.00", "0.00", "8.00"), paid(81, "8.00", "0.00", "0.00")];
    given::<Session>(corrected_from(PaymentMode::Postpaid, ["30", "20"], in_parts)).when(settle("0")).then([
        resettled(PaymentMode::Postpaid, "20.00", &Settles { refund: Some((id(81), "8.00")), ..Settles::default() }),
        resettled(PaymentMode::Postpaid, "20.00", &Settles { refund: Some((id(80), "2.00")), ..Settles::default() }),
    ]);
}

#[test]
fn a_lower_price_is_taken_from_what_is_still_owed_first() {
    let part = vec![owed("30.00"), paid(80, "12.00", "0.00", "18.00")];
    given::<Session>(corrected_from(PaymentMode::Postpaid, ["30", "20"], part)).when(settle("0")).then([resettled(
        PaymentMode::Postpaid,
        "20.00",
        &Settles { receivable: "8.00", ..Settles::default() },
    )]);
}

#[test]
fn later_payments_go_back_before_the_prepayment() {
    let settles = Settles { prepaid: "50.00", receivable: "12.00", ..Settles::default() };
    let paid_up = vec![settled(prepaid(), "62.00", &settles), paid(80, "12.00", "0.00", "0.00")];
    given::<Session>(corrected_from(prepaid(), ["62", "40"], paid_up)).when(settle("0")).then([
        resettled(prepaid(), "40.00", &Settles { refund: Some((id(80), "12.00")), ..Settles::default() }),
        resettled(prepaid(), "40.00", &Settles { prepaid: "-10.00", refund: Some((prepayment(), "10.00")), ..Settles::default() }),
    ]);
}

#[test]
fn no_payment_gives_back_more_than_it_brought() {
    // Paid, corrected down, corrected up, paid again, corrected down: each refund is of what its payment still holds.
    let mode = PaymentMode::Postpaid;
    let bills = [bill("", "10:30", "30"), bill("-2", "10:30", "20"), bill("-3", "10:30", "28"), bill("-4", "10:30", "5")];
    let step = |n: usize| corrected(mode, bills[n - 1].clone(), bills[n].clone());
    let back = |due, payment: u128, refund| resettled(mode, due, &Settles { refund: Some((id(payment), refund)), ..Settles::default() });
    let history = with(
        done(mode, "30"),
        [
            owed("30.00"),
            paid(80, "30.00", "0.00", "0.00"),
            step(1),
            back("20.00", 80, "10.00"),
            step(2),
            resettled(mode, "28.00", &Settles { receivable: "8.00", ..Settles::default() }),
            paid(81, "8.00", "0.00", "0.00"),
            step(3),
        ],
    );
    given::<Session>(history).when(settle("0")).then([back("5.00", 81, "8.00"), back("5.00", 80, "15.00")]);
}

#[test]
fn a_correction_before_the_settlement_is_settled_as_a_whole() {
    let settles = Settles { prepaid: "20.00", refund: Some((prepayment(), "30.00")), ..Settles::default() };
    given::<Session>(corrected_from(prepaid(), ["30", "20"], vec![])).when(settle("0")).then([resettled(prepaid(), "20.00", &settles)]);
    // The wallet was captured for the first bill.
    given::<Session>(corrected_from(wallet(), ["30", "20"], vec![])).when(settle("30")).then([
        resettled(wallet(), "20.00", &Settles { captured: "30.00", ..Settles::default() }),
        resettled(wallet(), "20.00", &Settles { captured: "-10.00", ..Settles::default() }),
    ]);
}

#[test]
fn a_second_correction_takes_back_what_the_first_gave() {
    let mode = wallet();
    let history = with(
        corrected_from(mode, ["30", "20"], vec![captured_30()]),
        [
            resettled(mode, "20.00", &Settles { captured: "-10.00", ..Settles::default() }),
            corrected(mode, bill("-2", "10:30", "20"), bill("-3", "10:30", "25")),
        ],
    );
    // What the wallet gave and got back is not counted twice: the same capture reported again brings nothing.
    let more = resettled(mode, "25.00", &Settles { receivable: "5.00", ..Settles::default() });
    given::<Session>(history).when(settle("30")).then([more]);
}

#[test]
fn what_is_taken_off_a_bill_goes_back_with_the_reason_it_was_taken_off_for() {
    let credit = || SessionCommand::Credit { amount: money("4"), note: "the cable was broken".to_owned() };
    let settled_once = with(done(prepaid(), "30"), [prepaid_30()]);
    let credited = state(settled_once.clone()).decide(credit()).unwrap();
    let history = [settled_once, credited].concat();
    let back = Settles { prepaid: "-4.00", refund: Some((prepayment(), "4.00")), ..Settles::default() };
    let settlement = because("the cable was broken", settled(prepaid(), "26.00", &back));
    given::<Session>(history.clone()).when(settle("0")).then([settlement.clone()]);
    // The last reason is the one that holds.
    let history = with(history, [settlement]);
    let again = SessionCommand::Credit { amount: money("1"), note: "and slow".to_owned() };
    let credited = state(history.clone()).decide(again).unwrap();
    let back = Settles { prepaid: "-1.00", refund: Some((prepayment(), "1.00")), ..Settles::default() };
    given::<Session>([history, credited].concat()).when(settle("0")).then([because("and slow", settled(prepaid(), "25.00", &back))]);
}
