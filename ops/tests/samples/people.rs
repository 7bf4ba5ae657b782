//! Users, operators, keys, and what the ledger keeps about itself.

use domain::event::Event;
use domain::journal::JournalEvent;
use domain::key::{KeyEvent, Role};
use domain::log::Position;
use domain::operator::{BookingMode, OperatorEvent};
use domain::process::ProcessEvent;
use domain::projection::ProjectionEvent;
use domain::request::RequestEvent;
use domain::sealed::{LookupHash, Sealed};
use domain::testing::id;
use domain::user::UserEvent;

use super::{of, who};

pub fn all() -> Vec<Event> {
    let users = users().into_iter().map(Event::from);
    let operators = operators().into_iter().map(Event::from);
    let keys = keys().into_iter().map(Event::from);
    let projections = projections().into_iter().map(Event::from);
    users.chain(operators).chain(keys).chain(books()).chain(projections).collect()
}

fn users() -> Vec<UserEvent> {
    let user_id = who::user();
    let sealed = |text: &str| Sealed { sealed: text.to_owned() };
    let phone = sealed("1415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40");
    let phone_lookup = LookupHash("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned());
    let name = Some(sealed("4142434445464748494a4b4c4d4e4f505152535455565758595a6162636465666768696a6b6c6d6e6f707172"));
    let plate = Some(sealed("737475767778797a303132333435363738394142434445464748494a4b4c4d4e4f505152535455565758595a"));
    let (lookup, new_phone) = (phone_lookup.clone(), phone.clone());
    vec![
        UserEvent::Registered { user_id, phone, phone_lookup, name: name.clone(), plate: plate.clone() },
        UserEvent::Changed { user_id, phone: Some((new_phone, lookup)), name, plate },
        UserEvent::Closed { user_id },
        UserEvent::Erased { user_id },
    ]
}

fn operators() -> Vec<OperatorEvent> {
    let operator_id = who::operator();
    let (code, books_zone) = (of("MA5GXX12T"), of("Asia/Shanghai"));
    vec![
        OperatorEvent::Registered { operator_id, code, name: "湾区充电".to_owned(), books_zone, booking: BookingMode::Principal },
        OperatorEvent::Changed { operator_id, name: "湾区充电网络".to_owned() },
        OperatorEvent::BookingChanged { operator_id, booking: BookingMode::Agent },
        OperatorEvent::Closed { operator_id },
    ]
}

fn keys() -> Vec<KeyEvent> {
    let key_id = id(0x0190_0000_0000_7000_8000_0000_0000_000a);
    let secret_sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".to_owned();
    vec![
        KeyEvent::Created { key_id, operator_id: who::operator(), role: Role::App, name: "app backend".to_owned(), secret_sha256 },
        KeyEvent::Revoked { key_id },
    ]
}

fn books() -> Vec<Event> {
    let body_sha256 = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9".to_owned();
    vec![
        JournalEvent::RulesAdopted { operator_id: who::operator(), rules_version: 1 }.into(),
        RequestEvent::Accepted { body_sha256, seed: id(0x0190_0000_0000_7000_8000_0000_0000_000b) }.into(),
        ProcessEvent::Advanced { process: "settle".to_owned(), position: Position(20_142) }.into(),
    ]
}

fn projections() -> Vec<ProjectionEvent> {
    let projection = "journal".to_owned();
    let reason = "the bill names a tax that no posting rule has; booked by hand, see case 2214".to_owned();
    let event_id = id(0x0190_0000_0000_5000_8000_0000_0000_000c);
    let event_type = "session.billed".to_owned();
    vec![
        ProjectionEvent::EventQuarantined { projection: projection.clone(), position: Position(20_143), event_id, event_type, reason },
        ProjectionEvent::SwapApproved {
            projection,
            build: 2,
            position: Position(20_150),
            rows_differing: 12,
            note: "the twelve bills of case 2214".to_owned(),
        },
    ]
}
