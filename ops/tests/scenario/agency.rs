//! Sessions at a station of somebody else, whose operator books as agent: from its terms to the books.

use std::collections::BTreeMap;

use domain::agency::{CommissionRates, Ownership};
use domain::audit::Audit;
use domain::ids::{OperatorId, StationId};
use domain::journal::Account;
use domain::operator::BookingMode;
use domain::pricing::FeeKind;
use domain::session::DeviceFact;
use domain::testing::id;
use domain::units::Money;

use crate::books::are_in_order;
use crate::stories::{bill, calm, started};
use crate::world::{World, connector, prepaid, reading, record, user, yuan};

fn station() -> StationId {
    id(201)
}

fn ownership(energy: &str, service: &str) -> Ownership {
    let (energy, service, idle) = (energy.parse().unwrap(), service.parse().unwrap(), "0".parse().unwrap());
    Ownership::new("MA5OWNER1".parse().unwrap(), "owner".into(), CommissionRates { energy, service, idle }, "6".parse().unwrap())
}

async fn owned(world: &World, ownership: Option<Ownership>) {
    world.edge.set_station_ownership(&world.caller(), &world.request(), station(), ownership).await.unwrap();
}

async fn books_as(world: &World, booking: BookingMode) {
    world.edge.set_booking(&world.caller(), &world.request(), booking).await.unwrap();
}

/// Every account, as the audit sums it up from the log, which has to find nothing.
async fn accounts(world: &World) -> BTreeMap<Account, Money> {
    let mut audit = Audit::default();
    world.log().await.iter().for_each(|recorded| audit.observe(recorded));
    assert_eq!(audit.findings(), []);
    audit.balances().clone()
}

fn balance(accounts: &BTreeMap<Account, Money>, account: Account) -> String {
    accounts.get(&account).copied().unwrap_or_default().to_string()
}

#[tokio::test(start_paused = true)]
async fn an_agents_bill_is_divided_on_the_terms_of_its_start_and_a_credit_on_it_too() {
    let world = calm().await;
    owned(&world, Some(ownership("5", "30"))).await;
    books_as(&world, BookingMode::Agent).await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    world.settle_down().await;
    let (session, started_at) = (requested.session_id, world.now());
    world.report(session, DeviceFact::Started { meter: reading("0", started_at) }).await;
    // Neither other terms nor another stance touch a session that runs.
    owned(&world, Some(ownership("50", "50"))).await;
    books_as(&world, BookingMode::Principal).await;
    world.clock.advance(3_600);
    world.report(session, DeviceFact::Record { record: record(started_at, world.now(), "20") }).await;
    world.settle_down().await;
    // 16.00 for energy, of which 0.80 are kept, and 8.00 for service, of which 2.40.
    let owner: OperatorId = ownership("5", "30").owner_id;
    let books = accounts(&world).await;
    assert_eq!(bill(&world.session(session).await), "24.00");
    assert_eq!(balance(&books, Account::OperatorPayable(owner)), "-20.80");
    assert_eq!(balance(&books, Account::Commission(FeeKind::Energy)), "-0.75");
    assert_eq!(balance(&books, Account::Commission(FeeKind::Service)), "-2.26");
    assert_eq!(balance(&books, Account::CommissionTax), "-0.19");
    assert_eq!(balance(&books, Account::Revenue(FeeKind::Energy)), "0.00");

    // Half of the service fee goes back: the owner bears 70 % of it.
    let payment = requested.payment_id.unwrap();
    world.edge.refund_payment(&world.caller(), &world.request(), payment, yuan("4.00"), "noisy".into()).await.unwrap();
    world.settle_down().await;
    let books = accounts(&world).await;
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("20"));
    assert_eq!(balance(&books, Account::OperatorPayable(owner)), "-18.00");
    assert_eq!(balance(&books, Account::Commission(FeeKind::Service)), "-1.13");
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn only_an_agent_divides_and_only_what_is_somebody_elses() {
    let world = calm().await;
    let owner = ownership("5", "30").owner_id;
    owned(&world, Some(ownership("5", "30"))).await;
    let as_principal = started(&world, 2, prepaid("50")).await;
    world.charge(as_principal, "20", 60).await;
    world.settle_down().await;
    assert_eq!(balance(&accounts(&world).await, Account::OperatorPayable(owner)), "0.00");

    books_as(&world, BookingMode::Agent).await;
    owned(&world, None).await;
    let own = started(&world, 3, prepaid("50")).await;
    world.charge(own, "20", 60).await;
    world.settle_down().await;
    let books = accounts(&world).await;
    assert_eq!(balance(&books, Account::OperatorPayable(owner)), "0.00");
    assert_eq!(balance(&books, Account::Revenue(FeeKind::Energy)), "-28.32");
    // What was posted before stays on the account that it was posted to.
    assert_eq!(balance(&books, Account::Tax(None)), "-2.29");
    assert_eq!(balance(&books, Account::Tax(Some(FeeKind::Energy))), "-1.84");
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn becoming_an_agent_twice_and_again_adopts_the_rules_once() {
    let world = calm().await;
    for booking in [BookingMode::Agent, BookingMode::Agent, BookingMode::Principal, BookingMode::Agent] {
        books_as(&world, booking).await;
    }
    assert_eq!((world.count("journal.rules_adopted").await, world.count("operator.booking_changed").await), (1, 3));
}
