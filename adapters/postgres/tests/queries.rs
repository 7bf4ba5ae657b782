//! What those who read may rely on.

mod support;

use std::collections::BTreeSet;

use domain::log::{EventStore as _, Filter, Position};
use domain::time::ZoneName;
use domain::units::Money;
use projections::query::{AsOf, Cursor, Item, Near, Query, QueryError, ReadQueries as _, StatementQuery, StationSearch, Subject, Test};
use projections::value::{Column as _, Value};
use read_models::ReadModels;
use support::history::{History, operator, station, user};
use support::{Database, on_postgres};

async fn after_a_history(database: &Database, seed: u64, steps: usize) -> (History, std::sync::Arc<ReadModels>) {
    let mut history = History::new(seed).await;
    history.go_on(steps).await;
    let read_models = database.read_models();
    history.log().catch_up(&read_models, projections::all()).await;
    (history, read_models)
}

fn text<'a>(item: &'a Item, column: &str) -> &'a str {
    item.get(column).and_then(serde_json::Value::as_str).unwrap_or_else(|| panic!("{column} of {item:?}"))
}

fn money(item: &Item, column: &str) -> Money {
    text(item, column).parse().unwrap()
}

/// All rows, page by page; the cursor goes through its text as it would through a URL.
async fn all_pages(read_models: &ReadModels, mut query: Query) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        let page = read_models.page(&query).await.unwrap();
        assert!(page.items.len() <= query.limit as usize);
        items.extend(page.items);
        let Some(next) = page.next else { return items };
        query.cursor = Some(next.to_string().parse::<Cursor>().unwrap());
    }
}

#[test]
fn pages_give_every_row_once_and_in_order() {
    on_postgres(|database: Database| async move {
        let (_, read_models) = after_a_history(&database, 21, 800).await;
        let expected = database.number(&format!("SELECT count(*) FROM read.sessions WHERE operator_id = '{}'", operator(1))).await;
        for (limit, descending) in [(1, true), (7, false), (7, true), (500, true)] {
            let query = Query::of("sessions", operator(1)).limit(limit);
            let query = if descending { query.latest("opened_at") } else { query.earliest("opened_at") };
            let items = all_pages(&read_models, query).await;
            let ids: BTreeSet<&str> = items.iter().map(|item| text(item, "session_id")).collect();
            assert_eq!((items.len() as i64, ids.len() as i64), (expected, expected), "limit {limit}");
            let times: Vec<&str> = items.iter().map(|item| text(item, "opened_at")).collect();
            assert!(times.is_sorted_by(|left, right| if descending { left >= right } else { left <= right }));
        }
        assert!(expected > 20, "the history is too short to show anything");
    });
}

#[test]
fn nobody_sees_another_operators_rows() {
    on_postgres(|database: Database| async move {
        let (_, read_models) = after_a_history(&database, 22, 400).await;
        for projection in projections::all() {
            let name = projection.definition().name;
            let ours = all_pages(&read_models, Query::of(name, operator(1)).limit(500)).await;
            assert!(ours.iter().all(|item| text(item, "operator_id") == operator(1).to_string()), "{name}");
            let theirs = all_pages(&read_models, Query::of(name, operator(2)).limit(500)).await;
            let total = database.number(&format!("SELECT count(*) FROM read.{name}")).await;
            assert_eq!((ours.len() + theirs.len()) as i64, total, "{name}");
        }
        let theirs = station(2, 0).to_string();
        assert!(read_models.one("stations", operator(2), &[&theirs]).await.unwrap().is_some());
        assert_eq!(read_models.one("stations", operator(1), &[&theirs]).await.unwrap(), None);
    });
}

#[test]
fn filters_hold_and_what_is_no_column_is_refused() {
    on_postgres(|database: Database| async move {
        let (_, read_models) = after_a_history(&database, 23, 600).await;
        let ask = |query: Query| all_pages(&read_models, query.limit(500));
        let of = || Query::of("sessions", operator(1));
        let all = ask(of()).await;
        let settled = ask(of().equal("status", &"settled".to_owned())).await;
        assert!(!settled.is_empty() && settled.iter().all(|item| text(item, "status") == "settled"));
        let rest = ask(of().filter("status", Test::IsNot(Value::Text("settled".to_owned())))).await;
        assert_eq!(settled.len() + rest.len(), all.len());
        let users = vec![user(1, 0).to_value(), user(1, 1).to_value()];
        let of_two = ask(of().filter("user_id", Test::OneOf(users))).await;
        assert!(
            !of_two.is_empty()
                && of_two.iter().all(|item| [user(1, 0), user(1, 1)].map(|id| id.to_string()).contains(&text(item, "user_id").to_owned()))
        );
        let unknown = ask(of().filter("user_id", Test::IsEmpty(true))).await;
        assert!(unknown.iter().all(|item| item["user_id"].is_null()));
        let dear: Money = "10.00".parse().unwrap();
        let costly = ask(of().filter("total_yuan", Test::AtLeast(dear.to_value()))).await;
        assert!(costly.iter().all(|item| money(item, "total_yuan") >= dear));
        let error = |query: Query| {
            let read_models = read_models.clone();
            async move { read_models.page(&query).await.unwrap_err() }
        };
        assert!(matches!(error(of().equal("status; DROP TABLE x", &String::new())).await, QueryError::UnknownColumn { .. }));
        assert!(matches!(error(of().equal("user_id", &7_i64)).await, QueryError::BadValue { .. }));
        assert!(matches!(error(of().latest("started_at")).await, QueryError::UnknownColumn { .. }), "may be empty");
        assert!(matches!(error(Query::of("pg_tables", operator(1))).await, QueryError::UnknownView(_)));
        let elsewhere = read_models.page(&Query::of("payments", operator(1)).limit(1)).await.unwrap().next;
        assert_eq!(error(of().after(elsewhere)).await, QueryError::BadCursor);
        assert_eq!("nonsense".parse::<Cursor>(), Err(QueryError::BadCursor));
    });
}

#[test]
fn text_finds_order_numbers_by_their_beginning_and_names_by_any_part() {
    on_postgres(|database: Database| async move {
        let (_, read_models) = after_a_history(&database, 24, 300).await;
        let all = all_pages(&read_models, Query::of("sessions", operator(1)).limit(500)).await;
        let number = all.iter().find_map(|item| item["order_number"].as_str()).unwrap();
        for typed in [number, &number[..20], &number.to_lowercase()] {
            let found = read_models.page(&Query::of("sessions", operator(1)).text(typed)).await.unwrap().items;
            assert!(found.iter().any(|item| text(item, "order_number") == number), "{typed}");
        }
        // What people type is text, whatever it looks like.
        let long = "x".repeat(5_000);
        for typed in ["' & !", "a:* | b", "\\", "%", "tx-1'); --", "\0", &long] {
            read_models.page(&Query::of("sessions", operator(1)).text(typed)).await.unwrap();
            read_models.page(&Query::of("stations", operator(1)).text(typed)).await.unwrap();
        }
        let stations = |typed: &str| {
            let query = Query::of("stations", operator(1)).text(typed);
            let read_models = read_models.clone();
            async move { read_models.page(&query).await.unwrap().items.len() }
        };
        assert_eq!((stations("山区").await, stations("shennan road 1").await, stations("100%").await, stations("_").await), (3, 1, 0, 0));
    });
}

#[test]
fn stations_come_by_distance_with_their_free_connectors() {
    on_postgres(|database: Database| async move {
        let (_, read_models) = after_a_history(&database, 25, 0).await;
        // Station 1 is published in WGS 84 at 114.085; station 0 in GCJ-02, some 500 metres off its true place.
        let near = |radius_m| Near { longitude: 114.085, latitude: 22.54, radius_m };
        let search = |radius_m, limit| StationSearch {
            operator_id: operator(1),
            near: Some(near(radius_m)),
            text: None,
            only_available: false,
            cursor: None,
            limit,
        };
        let found = read_models.stations(&search(1_000.0, 10)).await.unwrap();
        assert_eq!(found.items.len(), 1);
        assert_eq!((text(&found.items[0], "station_id"), &found.items[0]["distance_m"]), (station(1, 1).to_string().as_str(), &0.0.into()));
        assert_eq!(found.items[0]["connectors"]["available"], 2);
        let mut search = search(100_000.0, 2);
        let first = read_models.stations(&search).await.unwrap();
        search.cursor = first.next.clone();
        let second = read_models.stations(&search).await.unwrap();
        let ids: Vec<&str> = first.items.iter().chain(&second.items).map(|item| text(item, "station_id")).collect();
        assert_eq!((ids.len(), second.next), (3, None));
        let metres = |item: &Item| item["distance_m"].as_f64().unwrap();
        // 2.5 hundredths of a degree of longitude at 22.54° north.
        assert!((metres(&first.items[1]) - 2_567.0).abs() < 600.0, "{}", metres(&first.items[1]));
        let by_name = StationSearch { near: None, cursor: None, limit: 10, text: Some("充电站 2".to_owned()), ..search };
        assert_eq!(read_models.stations(&by_name).await.unwrap().items.len(), 1);
        let bad = StationSearch { near: Some(Near { longitude: 214.0, latitude: 0.0, radius_m: 5.0 }), ..by_name };
        assert!(matches!(read_models.stations(&bad).await, Err(QueryError::BadValue { .. })));
    });
}

#[test]
fn the_trial_balance_balances_as_of_any_date_and_any_moment() {
    on_postgres(|database: Database| async move {
        let (history, read_models) = after_a_history(&database, 26, 1_000).await;
        let us = operator(1);
        let now = read_models.trial_balance(us, AsOf::default()).await.unwrap();
        assert!(now.debit_yuan.is_positive() && now.debit_yuan == now.credit_yuan);
        let head = history.log().store.head().await.unwrap().position;
        assert_eq!(now.position, head);
        let recorded = read_models.trial_balance(us, AsOf { recorded_to: Some(head), ..AsOf::default() }).await.unwrap();
        assert_eq!(recorded, now, "daily balances and postings say the same");
        let mut before = Money::ZERO;
        for part in 1..=4 {
            let to = Position(head.0 * part / 4);
            let then = read_models.trial_balance(us, AsOf { recorded_to: Some(to), ..AsOf::default() }).await.unwrap();
            assert!(then.debit_yuan == then.credit_yuan && then.debit_yuan >= before);
            before = then.debit_yuan;
        }
        let days = all_pages(&read_models, Query::of("balances", us).limit(500)).await;
        let dates: BTreeSet<&str> = days.iter().map(|item| text(item, "business_on")).collect();
        assert!(dates.len() > 2, "{dates:?}");
        for date in dates {
            let as_of = AsOf { business_on: Some(date.parse().unwrap()), ..AsOf::default() };
            let then = read_models.trial_balance(us, as_of).await.unwrap();
            assert_eq!(then.debit_yuan, then.credit_yuan, "{date}");
            assert_eq!(then.accounts, read_models.trial_balance(us, AsOf { recorded_to: Some(head), ..as_of }).await.unwrap().accounts);
        }
    });
}

#[test]
fn a_statement_opens_with_what_was_there_and_closes_with_what_is() {
    on_postgres(|database: Database| async move {
        let (_, read_models) = after_a_history(&database, 27, 800).await;
        let us = operator(1);
        let customer = user(1, 0).to_string();
        for (account, detail) in [("1012.sandbox", None), ("1122", None), ("2205", Some(customer))] {
            let query =
                StatementQuery { operator_id: us, account: account.to_owned(), detail, from: None, to: None, cursor: None, limit: 500 };
            let whole = read_models.statement(&query).await.unwrap();
            let sum = |items: &[Item]| items.iter().map(|item| money(item, "debit_yuan") - money(item, "credit_yuan")).sum::<Money>();
            assert_eq!((whole.opening_yuan, whole.closing_yuan), (Money::ZERO, sum(&whole.postings.items)), "{account}");
            let Some(middle) = whole.postings.items.get(whole.postings.items.len() / 2) else { continue };
            let date = text(middle, "business_on").parse().unwrap();
            let day = read_models.statement(&StatementQuery { from: Some(date), to: Some(date), ..query }).await.unwrap();
            assert!(!day.postings.items.is_empty());
            assert_eq!(day.opening_yuan + sum(&day.postings.items), day.closing_yuan, "{account}");
        }
    });
}

#[test]
fn explain_tells_where_a_sessions_money_came_from_and_went_to() {
    on_postgres(|database: Database| async move {
        let (_, read_models) = after_a_history(&database, 28, 1_000).await;
        let us = operator(1);
        let bill = read_models.page(&Query::of("bills", us).filter("total_yuan", Test::Above(Money::ZERO.to_value()))).await.unwrap();
        let bill = &bill.items[0];
        let session = text(bill, "session_id").parse().unwrap();
        let explained = read_models.explain(us, &Subject::Session(session)).await.unwrap().unwrap();
        assert!(explained.bills.iter().any(|other| other["bill_number"] == bill["bill_number"]));
        let (debit, credit) = explained.postings.iter().fold((Money::ZERO, Money::ZERO), |(debit, credit), posting| {
            (debit + money(posting, "debit_yuan"), credit + money(posting, "credit_yuan"))
        });
        assert!(debit.is_positive() && debit == credit);
        let number = text(explained.session.as_ref().unwrap(), "order_number").to_owned();
        assert_eq!(read_models.explain(us, &Subject::OrderNumber(number)).await.unwrap().as_ref(), Some(&explained));
        let entry = explained.postings[0]["position"].as_u64().unwrap();
        assert_eq!(read_models.explain(us, &Subject::Entry(Position(entry))).await.unwrap().unwrap().session, explained.session);
        assert_eq!(read_models.explain(operator(2), &Subject::Session(session)).await.unwrap(), None);
    });
}

#[test]
fn an_erased_user_leaves_nothing_personal_in_the_views() {
    on_postgres(|database: Database| async move {
        let (history, read_models) = after_a_history(&database, 29, 1_500).await;
        let erased = all_pages(&read_models, Query::of("users", operator(1)).equal("status", &"erased".to_owned())).await;
        assert!(!erased.is_empty(), "nobody was erased; take another seed");
        for item in &erased {
            for column in ["phone_sealed", "phone_lookup", "name_sealed", "plate_sealed"] {
                assert!(item[column].is_null(), "{column}");
            }
        }
        let log = history.log().store.read_all(Position(0), &Filter::types(["user.erased"]), 100).await.unwrap();
        assert!(!log.events.is_empty());
        let zone: ZoneName = "Asia/Shanghai".parse().unwrap();
        assert_eq!(text(&read_models.page(&Query::of("stations", operator(1))).await.unwrap().items[0], "zone"), zone.as_str());
    });
}
