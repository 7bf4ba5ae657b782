use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use commands::RequestIds;
use commands::payment::PayFor;
use commands::port::Clock;
use commands::process::deadlines::Deadlines;
use commands::user::PersonalData;
use domain::ids::{OperatorId, SessionId, UserId};
use domain::log::{EventStore, StreamId};
use domain::operator::BookingMode;
use domain::payment::{Channel, Payment, PaymentStatus};
use domain::time::{Timestamp, ZoneName};
use domain::units::Energy;
use uuid::Uuid;

use super::generate::{Generator, How, SEED};
use super::plan::{Account, Plan, PlannedSession, RowOddity};
use super::{ImportedSession, Report, Rows, carry_out, estate, format, read};
use crate::command::audit::look_at_everything;
use crate::compose::{SystemClock, World, Writing, staff};
use crate::config::{Config, EventStoreUrl, LogFormat, Ratio, SandboxMode, Seconds};
use crate::raw_log::RawLog;
use crate::summary::Figures;

const CARY: &[u8] = include_bytes!("../../demo/cary_sessions.csv.gz");
const HEADING: &str = "start_date;station_name;charging_time_hh_mm_ss;energy_kwh;address_1;address_2;city;state_province;zip_postal_code;fee;model_number;latitude;longitude;geopoint";

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn operator() -> OperatorId {
    OperatorId(Uuid::from_u128(7))
}

fn row(start: &str, duration: &str, energy: &str) -> String {
    format!(
        "{start};BOND PARK;{duration};{energy};801 High House Road;Boathouse;Cary;North Carolina;27513;0.0;CT4020-HD-GW;35.781303;-78.825554;35.781303, -78.825554"
    )
}

fn rows(lines: &[String]) -> Rows {
    let text = format!("{HEADING}\r\n{}\r\n", lines.join("\r\n"));
    read(format("cary").unwrap(), text.as_bytes()).unwrap()
}

fn plan(lines: &[String]) -> Plan {
    Plan::of(format("cary").unwrap(), operator(), rows(lines))
}

fn one(line: String) -> PlannedSession {
    let plan = plan(&[line]);
    assert_eq!(plan.rejected, vec![]);
    plan.sessions.into_iter().next().unwrap()
}

fn reason(line: String) -> String {
    let rows = rows(&[line]);
    assert_eq!(rows.sessions, vec![]);
    rows.rejected.into_iter().next().unwrap().reason
}

fn only(oddity: RowOddity) -> BTreeSet<RowOddity> {
    BTreeSet::from([oddity])
}

#[test]
fn a_row_keeps_its_times_energy_and_place() {
    let rows = rows(&[row("2021-03-29T16:39:10+00:00", "26:03:57", "0.394")]);
    let (line, session): &(u64, ImportedSession) = &rows.sessions[0];
    assert_eq!(*line, 2);
    assert_eq!(session.started_at.to_string(), "2021-03-29T16:39:10Z");
    assert_eq!(session.ended_at.to_string(), "2021-03-30T18:43:07Z");
    assert_eq!(session.energy, "0.3940".parse::<Energy>().unwrap());
    assert_eq!(session.place.latitude.to_string(), "35.781303");
    assert_eq!(session.address, "801 High House Road, Boathouse, Cary, North Carolina, 27513");
}

#[test]
fn every_row_of_the_real_file_is_accounted_for_and_its_energy_is_the_file_s_own_sum() {
    let account = Plan::of(format("cary").unwrap(), operator(), read(format("cary").unwrap(), CARY).unwrap()).account();
    assert_eq!(account.rows, 20_142);
    assert_eq!(account.imported + account.flagged + account.rejected, account.rows);
    assert_eq!(account.rejected, 0, "{:?}", account.rejections);
    assert_eq!(account.energy_kwh.to_string(), "163201.1470");
    assert_eq!(account.oddities[&RowOddity::ZeroEnergy], 2_132);
    assert_eq!(account.oddities[&RowOddity::ZeroDuration], 2_052);
    assert_eq!(account.oddities[&RowOddity::LongDuration], 1);
    assert_eq!(account.oddities[&RowOddity::SameStationAndStart], 4);
    assert_eq!(account.oddities[&RowOddity::ModelMissing], 731);
    assert_eq!(account.oddities[&RowOddity::EnergyAboveRatedPower], 4);
}

#[test]
fn the_same_rows_in_another_order_give_the_same_plan() {
    let file = read(format("cary").unwrap(), CARY).unwrap();
    let mut turned = file.clone();
    turned.sessions.reverse();
    assert_eq!(Plan::of(format("cary").unwrap(), operator(), file), Plan::of(format("cary").unwrap(), operator(), turned));
}

#[test]
fn another_operator_s_import_of_the_same_file_shares_no_id_with_this_one() {
    let lines = [row("2021-03-29T16:39:10+00:00", "01:00:00", "1")];
    let other = Plan::of(format("cary").unwrap(), OperatorId(Uuid::from_u128(8)), rows(&lines));
    assert_ne!(plan(&lines).sessions[0].session_id, other.sessions[0].session_id);
}

#[test]
fn ids_are_in_time_order_and_none_is_given_twice() {
    let plan = Plan::of(format("cary").unwrap(), operator(), read(format("cary").unwrap(), CARY).unwrap());
    let ids: BTreeSet<SessionId> = plan.sessions.iter().map(|session| session.session_id).collect();
    assert_eq!(ids.len(), plan.sessions.len());
    assert!(ids.iter().copied().eq(plan.sessions.iter().map(|session| session.session_id)));
}

#[test]
fn no_connector_serves_two_sessions_at_once() {
    let plan = Plan::of(format("cary").unwrap(), operator(), read(format("cary").unwrap(), CARY).unwrap());
    let mut last: std::collections::HashMap<_, &PlannedSession> = std::collections::HashMap::new();
    for session in &plan.sessions {
        if let Some(before) = last.insert(session.connector_id, session) {
            assert!(
                before.ended_at <= session.started_at && before.started_at < session.started_at,
                "lines {} and {}",
                before.line,
                session.line
            );
        }
    }
    let connectors: usize = plan.stations.iter().flat_map(|station| &station.piles).map(|pile| pile.connectors.len()).sum();
    assert_eq!(last.len(), connectors, "a connector that served nobody was made up");
}

#[test]
fn no_energy_and_no_time_is_a_session_all_the_same() {
    let session = one(row("2021-03-29T16:39:10+00:00", "00:00:00", "0"));
    assert_eq!(session.oddities, BTreeSet::from([RowOddity::ZeroEnergy, RowOddity::ZeroDuration]));
}

#[test]
fn more_than_a_day_is_odd_and_a_day_is_not() {
    assert_eq!(one(row("2021-03-29T16:39:10+00:00", "24:00:01", "5")).oddities, only(RowOddity::LongDuration));
    assert_eq!(one(row("2021-03-29T16:39:10+00:00", "24:00:00", "5")).oddities, BTreeSet::new());
}

#[test]
fn more_energy_than_the_time_allows_is_odd() {
    assert_eq!(one(row("2021-03-29T16:39:10+00:00", "01:00:00", "7.561")).oddities, only(RowOddity::EnergyAboveRatedPower));
    assert_eq!(one(row("2021-03-29T16:39:10+00:00", "01:00:00", "7.56")).oddities, BTreeSet::new());
}

#[test]
fn the_same_station_and_start_twice_are_two_sessions_at_two_connectors() {
    let lines = [row("2021-03-29T16:39:10+00:00", "00:00:00", "0"), row("2021-03-29T16:39:10+00:00", "00:30:00", "1.5")];
    let plan = plan(&lines);
    assert_eq!(plan.sessions.len(), 2);
    assert!(plan.sessions.iter().all(|session| session.oddities.contains(&RowOddity::SameStationAndStart)));
    assert_ne!(plan.sessions[0].connector_id, plan.sessions[1].connector_id);
    assert_ne!(plan.sessions[0].session_id, plan.sessions[1].session_id);
}

#[test]
fn a_missing_model_is_odd() {
    let line = row("2021-03-29T16:39:10+00:00", "01:00:00", "1").replace("CT4020-HD-GW", "");
    assert_eq!(one(line).oddities, only(RowOddity::ModelMissing));
}

#[test]
fn what_cannot_be_read_is_rejected_with_its_line_and_reason() {
    let good = || row("2021-03-29T16:39:10+00:00", "01:00:00", "1");
    assert_eq!(
        reason(good().replace(";1;801", ";-1;801")),
        "energy_kwh: \"-1\" is not an energy in kWh with at most four decimals, 0 or more"
    );
    assert_eq!(
        reason(good().replace(";1;801", ";1.00001;801")),
        "energy_kwh: \"1.00001\" is not an energy in kWh with at most four decimals, 0 or more"
    );
    assert_eq!(reason(good().replace("01:00:00", "1 h")), "charging_time_hh_mm_ss: \"1 h\" is not a duration like 26:03:57");
    assert_eq!(reason(good().replace("01:00:00", "01:60:00")), "charging_time_hh_mm_ss: \"01:60:00\" is not a duration like 26:03:57");
    assert_eq!(reason(good().replace("+00:00", "")), "start_date: \"2021-03-29T16:39:10\" is not an RFC 3339 time with an offset");
    assert_eq!(reason(good().replace("BOND PARK", " ")), "station_name is empty");
    assert_eq!(reason(good().replace("35.781303;-78", "95.781303;-78")), "longitude -78.825554, latitude 95.781303 is not a place");
    assert_eq!(reason("2021-03-29T16:39:10+00:00;BOND PARK".to_owned()), "the row has 2 columns, the heading has 14");
    let rows = rows(&[good(), "x".to_owned(), good()]);
    assert_eq!((rows.sessions.len(), rows.rejected[0].line), (2, 3));
}

#[test]
fn a_text_that_the_ledger_would_not_take_rejects_its_row_and_not_the_file() {
    let good = || row("2021-03-29T16:39:10+00:00", "01:00:00", "1");
    assert_eq!(reason(good().replace("BOND PARK", &"站".repeat(51))), "station name has 51 characters; at most 50 are taken");
    assert_eq!(one(good().replace("BOND PARK", &"站".repeat(50))).oddities, BTreeSet::new());
    // The parts of an address are put together with ", ".
    let parts = "801 High House Road".len() + ", , Cary, North Carolina, 27513".len();
    let with_boathouse = |length| good().replace("Boathouse", &"b".repeat(length));
    assert_eq!(reason(with_boathouse(151 - parts)), "address has 151 characters; at most 150 are taken");
    assert_eq!(one(with_boathouse(150 - parts)).oddities, BTreeSet::new());
    assert_eq!(reason(good().replace("CT4020-HD-GW", &"C".repeat(51))), "pile model has 51 characters; at most 50 are taken");
    assert_eq!(reason(good().replace("BOND PARK", "BOND\tPARK")), "station name has a control character in it");
    let rows = rows(&[good().replace("BOND PARK", &"x".repeat(51)), good()]);
    assert_eq!((rows.sessions.len(), rows.rejected[0].line), (1, 2));
}

#[test]
fn nothing_ends_before_it_begins() {
    let (_, session) = rows(&[row("2021-03-29T16:39:10+00:00", "00:00:00", "1")]).sessions.remove(0);
    assert_eq!(super::fitting(session.clone()), Ok(session.clone()), "it may end when it begins");
    let turned = ImportedSession { ended_at: session.started_at.plus_seconds(-1), ..session };
    let error = super::fitting(turned).unwrap_err().to_string();
    assert_eq!(error, "it ends at 2021-03-29T16:39:09Z, before it begins at 2021-03-29T16:39:10Z");
}

#[test]
fn a_station_s_code_has_twenty_characters_whatever_the_format_is_called() {
    let station = domain::ids::StationId(Uuid::from_u128(0x1234_5678 << 96));
    assert_eq!(super::plan::station_code("cary", station), "CARY-12345678");
    assert_eq!(super::plan::station_code("stadtwerke_muenchen", station), "STADTWERKE_-12345678");
}

#[test]
fn a_file_of_another_layout_is_refused_as_a_whole() {
    let error = read(format("cary").unwrap(), b"id,kwh\n1,2\n").unwrap_err().to_string();
    assert!(error.contains("not a file of format cary") && error.contains("start_date"), "{error}");
    assert!(format("paris").err().unwrap().to_string().contains("known are: cary"));
}

#[test]
fn the_same_seed_makes_up_the_same_and_another_seed_something_else() {
    let sessions = Plan::of(format("cary").unwrap(), operator(), read(format("cary").unwrap(), CARY).unwrap()).sessions;
    let (first, again, other) =
        (Generator::new("cary", operator(), SEED), Generator::new("cary", operator(), SEED), Generator::new("cary", operator(), SEED + 1));
    assert!(sessions.iter().all(|session| first.paying(session) == again.paying(session)));
    assert!(sessions.iter().any(|session| first.paying(session) != other.paying(session)));
    assert!(first.actor().is_generator());
}

#[test]
fn every_way_to_pay_is_exercised_and_a_wallet_is_topped_up_with_at_least_what_is_held() {
    let generator = Generator::new("cary", operator(), SEED);
    let sessions = Plan::of(format("cary").unwrap(), operator(), read(format("cary").unwrap(), CARY).unwrap()).sessions;
    let (mut prepaid, mut wallet, mut postpaid, mut later) = (0, 0, 0, 0);
    for session in &sessions {
        let paying = generator.paying(session);
        later += usize::from(paying.pays_rest_at.is_some());
        match paying.how {
            How::Prepaid { .. } => prepaid += 1,
            How::Wallet { top_up, hold } => {
                assert!(top_up >= hold);
                wallet += 1;
            }
            How::Postpaid => postpaid += 1,
        }
    }
    let share = |count: usize| count * 100 / sessions.len();
    assert!((55..75).contains(&share(prepaid)) && (12..28).contains(&share(wallet)) && (8..25).contains(&share(postpaid)));
    assert!((80..90).contains(&share(later)));
}

#[test]
fn the_made_up_tariff_may_be_published() {
    let versions = Generator::new("cary", operator(), SEED).tariff("2012-01-01T05:00:00Z".parse().unwrap());
    assert_eq!(versions.len(), 2);
    for version in versions {
        assert_eq!(version.terms.check(), Ok(()));
        assert!(version.terms.elements.iter().any(|element| element.half_hours.to_string().contains('S')));
    }
}

fn config(directory: &std::path::Path) -> Config {
    Config {
        event_store: EventStoreUrl::Embedded(directory.to_owned()),
        nats_url: None,
        nats_credentials: None,
        nats_replicas: crate::config::Replicas(1),
        nats_max_bytes: None,
        database_url: None,
        key_store: None,
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: directory.to_owned(),
        log: None,
        log_format: LogFormat::Text,
        sandbox: SandboxMode::Prompt,
        api_key: None,
        projection_stuck_after: Seconds(std::time::Duration::from_secs(30)),
        auto_rebuild: true,
        swap_approval: false,
        otlp_endpoint: None,
        trace_ratio: Ratio(1.0),
    }
}

/// The first rows of the real file, and two that begin together.
fn some_rows() -> Rows {
    let Rows { mut sessions, rejected } = read(format("cary").unwrap(), CARY).unwrap();
    sessions.truncate(60);
    sessions
        .extend(rows(&[row("2012-04-11T16:39:10+00:00", "00:00:00", "0"), row("2012-04-11T16:39:10+00:00", "50:00:00", "3.1")]).sessions);
    Rows { sessions, rejected }
}

async fn import(directory: &std::path::Path) -> anyhow::Result<Report> {
    import_into(Writing::open(&config(directory), World::Imported, None).await?).await
}

async fn import_into(writing: Writing) -> anyhow::Result<Report> {
    let cary = format("cary").unwrap();
    let plan = Plan::of(cary, estate::operator_of(cary), some_rows());
    estate::register_operator(&writing.commands, cary, plan.opened_at()).await?;
    let report = carry_out(&writing, cary, plan, SEED).await;
    writing.close().await;
    report
}

fn assert_it_is_all_there(directory: &std::path::Path) {
    let figures = Figures::of(&RawLog::embedded(directory)).unwrap();
    assert_eq!(figures.sessions, 62);
    let cary = format("cary").unwrap();
    let plan = Plan::of(cary, estate::operator_of(cary), some_rows());
    let ids = plan.sessions.iter().map(|session| session.session_id).collect();
    assert_eq!(figures.of_sessions(&ids), (62, plan.account().energy_kwh));
    assert!(figures.refunded.is_positive() && figures.revenue.is_positive());
    let verdict = look_at_everything(&RawLog::embedded(directory)).unwrap();
    assert_eq!(verdict.findings, vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_leaves_books_that_balance_and_the_same_file_again_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let first = import(directory.path()).await.unwrap();
    assert_eq!(first.played, 62);
    assert_it_is_all_there(directory.path());
    let again = import(directory.path()).await.unwrap();
    assert_eq!((again.played, again.events), (0, 0));
}

#[test]
fn an_import_that_was_cut_off_goes_on_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    for cut_ms in [300, 700, 1_100] {
        // The runtime goes away with everything that is in flight, as the process does when it is killed.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let cut = std::time::Duration::from_millis(cut_ms);
        // Whether it was cut off or had been quicker does not matter here.
        let _ = runtime.block_on(async { tokio::time::timeout(cut, import(directory.path())).await });
        runtime.shutdown_timeout(std::time::Duration::from_secs(10));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(import(directory.path())).unwrap();
    assert_it_is_all_there(directory.path());
}

/// A clock that runs with this machine's, and is put forward.
#[derive(Clone, Default)]
struct Forward(Arc<AtomicI64>);

impl Clock for Forward {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_seconds(self.0.load(Ordering::SeqCst))
    }
}

/// An import whose process dies once the ledger has so many events more, and it waits for something.
fn import_killed_after(directory: &std::path::Path, clock: &Forward, events: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let writing = Writing::open_under(&config(directory), World::Imported, None, Arc::new(clock.clone())).await.unwrap();
        let store = Arc::clone(&writing.store);
        let log: Arc<dyn EventStore> = store.clone();
        let until = store.head().await.unwrap().events + events;
        let reached = async {
            loop {
                let head = store.head().await.unwrap();
                // A payment that is asked for stays open once the import is gone.
                if head.events >= until && open_deadlines(&log).await >= 2 {
                    break;
                }
                store.wait_past(head.position).await.unwrap();
            }
        };
        tokio::select! {
            () = reached => {}
            ended = import_into(writing) => panic!("it was over before that: {ended:?}"),
        }
    });
    // It goes away with everything that is in flight, as the process does.
    runtime.shutdown_timeout(PATIENCE);
}

/// A server that runs for two days. It has a payment of its own, which nobody pays: once that is closed, everything older has been due as well.
async fn serve_for_two_days(directory: &std::path::Path, clock: &Forward) {
    let config = Config { sandbox: SandboxMode::Realistic, ..config(directory) };
    let writing = Writing::open_under(&config, World::Configured, None, Arc::new(clock.clone())).await.unwrap();
    let managers = writing.start_managers(true).await.unwrap();
    let (caller, ids) = staff(&writing.commands, OperatorId(Uuid::from_u128(9)));
    let code = "MA5GXX12T".parse().unwrap();
    let fixed = RequestIds::new(caller.operator_id.0);
    let commands = &writing.commands;
    commands.register_operator(&caller, &fixed, code, "Live".to_owned(), ZoneName::shanghai(), BookingMode::Principal).await.unwrap();
    let user_id = UserId(Uuid::from_u128(10));
    let phone = PersonalData { phone: Some("13800000000".to_owned()), ..PersonalData::default() };
    commands.register_user(&caller, &fixed, user_id, phone).await.unwrap();
    let asked = commands.pay(&caller, &ids, user_id, Channel::Sandbox, PayFor::TopUp, "9".parse().unwrap()).await;
    let stream = StreamId::payment(asked.unwrap().0);
    clock.0.fetch_add(2 * 86_400, Ordering::SeqCst);
    let began = std::time::Instant::now();
    while commands.ledger.load::<Payment>(&stream).await.unwrap().state.status() != PaymentStatus::Closed {
        assert!(began.elapsed() < PATIENCE, "nothing was due");
        // What could not be done is tried again a little later.
        clock.0.fetch_add(60, Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    managers.stop().await;
    writing.close().await;
}

/// A server whose payers pay and whose devices begin as soon as they are asked: it does again what it is not sure to have done.
async fn serve_promptly(directory: &std::path::Path, clock: &Forward) {
    let writing = Writing::open_under(&config(directory), World::Configured, None, Arc::new(clock.clone())).await.unwrap();
    let head = writing.store.head().await.unwrap().position;
    let managers = writing.start_managers(true).await.unwrap();
    managers.progress.done().wait_for(|done| *done >= head).await.unwrap();
    managers.stop().await;
    writing.close().await;
}

#[test]
fn an_import_that_was_killed_and_left_for_days_while_a_server_ran_comes_to_the_same_as_one_that_was_not() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (directory, undisturbed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    runtime().block_on(import(undisturbed.path())).unwrap();
    let clock = Forward::default();
    let mut waited_for = 0;
    for events in [450, 150, 150] {
        import_killed_after(directory.path(), &clock, events);
        runtime().block_on(async {
            waited_for += open_deadlines(&reading(directory.path())).await;
            serve_promptly(directory.path(), &clock).await;
            serve_for_two_days(directory.path(), &clock).await;
        });
    }
    assert!(waited_for > 0, "the import was killed where nothing was under way");
    let report = runtime().block_on(async {
        let resumed = Writing::open_under(&config(directory.path()), World::Imported, None, Arc::new(clock)).await.unwrap();
        import_into(resumed).await.unwrap()
    });
    let Account { rows, imported, flagged, rejected, .. } = report.account;
    assert_eq!(imported + flagged + rejected, rows);
    assert_it_is_all_there(directory.path());
    let (figures, as_if) =
        (Figures::of(&RawLog::embedded(directory.path())).unwrap(), Figures::of(&RawLog::embedded(undisturbed.path())).unwrap());
    assert_eq!((figures.revenue, figures.refunded, figures.refunds), (as_if.revenue, as_if.refunded, as_if.refunds));
    assert_eq!(runtime().block_on(open_deadlines(&reading(directory.path()))), 0);
}

fn reading(directory: &std::path::Path) -> Arc<dyn EventStore> {
    Arc::new(embedded::EmbeddedStore::open_read_only(directory).unwrap())
}

async fn open_deadlines(store: &Arc<dyn EventStore>) -> usize {
    let head = store.head().await.unwrap().position;
    Deadlines::of_log(store, head).await.unwrap().len()
}
