//! From rows to what has to exist and to have happened: stations, piles, connectors, sessions. Pure, and the same for the same rows in any order, so that
//! importing a file again finds everything done.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use commands::RequestIds;
use domain::ids::{ConnectorId, OperatorId, PileId, SessionId, StationId};
use domain::pile::PileDetails;
use domain::station::StationDetails;
use domain::time::{Timestamp, ZoneName};
use domain::units::{Energy, Power};
use rust_decimal::Decimal;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Charger, Format, ImportedSession, Rejected, Rows};

/// A session longer than this is odd: the domain's own bound.
const LONG_SECONDS: i64 = 24 * 3600;

/// What is odd about a row that is imported all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RowOddity {
    /// No energy was delivered.
    ZeroEnergy,
    /// It ended when it began.
    ZeroDuration,
    /// It lasted more than a day.
    LongDuration,
    /// More energy than the charger can give in the time.
    EnergyAboveRatedPower,
    /// Another row has the same station and start. Both are sessions, at two connectors.
    SameStationAndStart,
    /// The file does not say which charger it was.
    ModelMissing,
}

/// All that an import will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Whose books.
    pub(crate) operator_id: OperatorId,
    /// The zone of the sites.
    pub(crate) zone: ZoneName,
    /// The stations, by name.
    pub(crate) stations: Vec<PlannedStation>,
    /// The sessions, in time order.
    pub(crate) sessions: Vec<PlannedSession>,
    /// The rows that are not imported.
    pub(crate) rejected: Vec<Rejected>,
}

/// A station that has to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedStation {
    pub(crate) station_id: StationId,
    pub(crate) code: String,
    pub(crate) details: StationDetails,
    pub(crate) opened_at: Timestamp,
    pub(crate) piles: Vec<PlannedPile>,
}

/// A pile that has to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedPile {
    pub(crate) pile_id: PileId,
    pub(crate) code: String,
    pub(crate) details: PileDetails,
    pub(crate) connectors: Vec<ConnectorId>,
}

/// A session that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedSession {
    /// Its line in the file.
    pub(crate) line: u64,
    /// All ids of the session derive from this one.
    pub(crate) ids: RequestIds,
    pub(crate) session_id: SessionId,
    pub(crate) station_id: StationId,
    pub(crate) pile_id: PileId,
    pub(crate) pile_code: String,
    pub(crate) connector_id: ConnectorId,
    pub(crate) rated_power: Power,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Timestamp,
    pub(crate) energy: Energy,
    pub(crate) oddities: BTreeSet<RowOddity>,
}

/// What became of the rows: `imported + flagged + rejected = rows`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    pub(crate) rows: u64,
    /// Imported, and nothing odd about them.
    pub(crate) imported: u64,
    /// Imported, with something odd about them.
    pub(crate) flagged: u64,
    pub(crate) rejected: u64,
    /// The file's own sum over the imported and flagged rows.
    pub(crate) energy_kwh: Energy,
    /// How many rows have each oddity; a row may have several.
    pub(crate) oddities: BTreeMap<RowOddity, u64>,
    /// Each rejected row with its reason.
    pub(crate) rejections: Vec<Rejected>,
}

impl Plan {
    /// What became of the rows.
    pub(crate) fn account(&self) -> Account {
        let count = |sessions: usize| sessions as u64;
        let flagged = count(self.sessions.iter().filter(|session| !session.oddities.is_empty()).count());
        let mut oddities = BTreeMap::new();
        for oddity in self.sessions.iter().flat_map(|session| &session.oddities) {
            *oddities.entry(*oddity).or_default() += 1;
        }
        Account {
            rows: count(self.sessions.len() + self.rejected.len()),
            imported: count(self.sessions.len()) - flagged,
            flagged,
            rejected: count(self.rejected.len()),
            energy_kwh: self.sessions.iter().map(|session| session.energy).sum(),
            oddities,
            rejections: self.rejected.clone(),
        }
    }

    /// Before anything of it happened.
    pub(crate) fn opened_at(&self) -> Timestamp {
        self.stations.iter().map(|station| station.opened_at).min().unwrap_or_default().plus_seconds(-24 * 3600)
    }

    /// Plans the import of rows into an operator's books.
    pub(crate) fn of(format: &dyn Format, operator_id: OperatorId, rows: Rows) -> Plan {
        let scope = Uuid::new_v5(&operator_id.0, format!("import {}", format.name()).as_bytes());
        let Rows { mut sessions, rejected } = rows;
        // Time first; the rest only so that the order never depends on the file's.
        sessions.sort_by(|(_, a), (_, b)| order(a).cmp(&order(b)));
        let mut by_station: BTreeMap<String, Vec<(u64, ImportedSession)>> = BTreeMap::new();
        for (line, session) in sessions {
            by_station.entry(session.station.clone()).or_default().push((line, session));
        }
        let mut plan = Plan { operator_id, zone: format.zone(), stations: Vec::new(), sessions: Vec::new(), rejected };
        for (name, sessions) in by_station {
            plan.add_station(format, scope, &name, sessions);
        }
        plan.sessions.sort_by_key(|session| (session.started_at, session.session_id));
        plan
    }

    fn add_station(&mut self, format: &dyn Format, scope: Uuid, name: &str, sessions: Vec<(u64, ImportedSession)>) {
        let Some((_, newest)) = sessions.last() else { return };
        let station_id = StationId::derived(scope, name);
        // What a place is called and where it stands changes over the years; its newest row has the last word.
        let details = StationDetails { name: name.to_owned(), address: newest.address.clone(), place: newest.place.clone() };
        let model = usual_model(&sessions);
        let charger = format.charger(&model);
        let connectors = assign_connectors(&sessions);
        let connector_count = connectors.iter().max().map_or(1, |highest| highest + 1);
        let piles = piles(station_id, &model, charger, connector_count);
        let opened_at = sessions.first().map_or(newest.started_at, |(_, first)| first.started_at);

        let mut occurrences: HashMap<Timestamp, usize> = HashMap::new();
        for (_, session) in &sessions {
            *occurrences.entry(session.started_at).or_default() += 1;
        }
        let mut seen: HashMap<Timestamp, usize> = HashMap::new();
        for ((line, session), connector) in sessions.into_iter().zip(connectors) {
            let occurrence = seen.entry(session.started_at).or_default();
            *occurrence += 1;
            let ids = RequestIds::new(seed(scope, &session, *occurrence));
            let pile = &piles[connector / usize::from(charger.connectors)];
            let mut oddities = oddities(&session, charger);
            if occurrences[&session.started_at] > 1 {
                oddities.insert(RowOddity::SameStationAndStart);
            }
            self.sessions.push(PlannedSession {
                line,
                ids,
                session_id: ids.id("session"),
                station_id,
                pile_id: pile.pile_id,
                pile_code: pile.code.clone(),
                connector_id: pile.connectors[connector % usize::from(charger.connectors)],
                rated_power: charger.rated_power,
                started_at: session.started_at,
                ended_at: session.ended_at,
                energy: session.energy,
                oddities,
            });
        }
        let code = station_code(format.name(), station_id);
        self.stations.push(PlannedStation { station_id, code, details, opened_at, piles });
    }
}

/// The format's name and a number, in the twenty characters that a station's code may have: of a longer name its beginning.
pub(super) fn station_code(format: &str, station_id: StationId) -> String {
    let name: String = format.to_uppercase().chars().take(11).collect();
    format!("{name}-{:08x}", station_id.0.as_fields().0)
}

fn order(session: &ImportedSession) -> (Timestamp, Timestamp, Energy, &str, &str, &str) {
    (session.started_at, session.ended_at, session.energy, &session.station, &session.model, &session.address)
}

/// The model that most rows name; rows that name none are taken to be of it.
fn usual_model(sessions: &[(u64, ImportedSession)]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, session) in sessions.iter().filter(|(_, session)| !session.model.is_empty()) {
        *counts.entry(&session.model).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or_else(String::new, |(model, _)| model.to_owned())
}

/// Which connector served each session: of those that are free when it begins, the one that has served least; one more when none is. Sessions that overlap get
/// different ones, and no fewer connectors would do.
fn assign_connectors(sessions: &[(u64, ImportedSession)]) -> Vec<usize> {
    struct Used {
        started_at: Timestamp,
        free_at: Timestamp,
        sessions: usize,
    }
    let mut connectors: Vec<Used> = Vec::new();
    let assign = |session: &ImportedSession| {
        // A session without duration still keeps its connector from another that begins with it.
        let is_free = |used: &Used| used.free_at <= session.started_at && used.started_at < session.started_at;
        let least_used = connectors.iter().enumerate().filter(|(_, used)| is_free(used)).min_by_key(|(_, used)| used.sessions);
        let connector = least_used.map_or(connectors.len(), |(connector, _)| connector);
        let sessions = connectors.get(connector).map_or(0, |used| used.sessions) + 1;
        let used = Used { started_at: session.started_at, free_at: session.ended_at, sessions };
        match connectors.get_mut(connector) {
            Some(place) => *place = used,
            None => connectors.push(used),
        }
        connector
    };
    sessions.iter().map(|(_, session)| session).map(assign).collect()
}

fn piles(station_id: StationId, model: &str, charger: Charger, connectors: usize) -> Vec<PlannedPile> {
    let each = usize::from(charger.connectors.max(1));
    (0..connectors.div_ceil(each))
        .map(|index| {
            let pile_id = PileId::derived(station_id.0, &format!("pile {}", index + 1));
            PlannedPile {
                pile_id,
                // The form that piles give themselves on the wire: fourteen digits.
                code: format!("{:014}", pile_id.0.as_u128() % 100_000_000_000_000),
                details: PileDetails { model: model.to_owned(), current: charger.current, rated_power: charger.rated_power },
                connectors: (index * each..connectors.min((index + 1) * each))
                    .map(|connector| ConnectorId::derived(pile_id.0, &format!("connector {}", connector % each + 1)))
                    .collect(),
            }
        })
        .collect()
}

/// An id in time order that comes out the same whenever this session is imported: UUIDv7's shape, its random bits from what identifies the row.
fn seed(scope: Uuid, session: &ImportedSession, occurrence: usize) -> Uuid {
    let mut sha = Sha256::new();
    sha.update(scope.as_bytes());
    sha.update(session.started_at.micros().to_be_bytes());
    sha.update((occurrence as u64).to_be_bytes());
    sha.update(session.station.as_bytes());
    let digest = sha.finalize();
    let mut random = [0; 10];
    random.copy_from_slice(&digest[..10]);
    let millis = u64::try_from(session.started_at.micros() / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

fn oddities(session: &ImportedSession, charger: Charger) -> BTreeSet<RowOddity> {
    let seconds = session.ended_at.seconds_since(session.started_at);
    // kW × s ≤ kWh × 3600, without a division: the same test that the ledger makes of a record.
    let is_above_rated = session.energy.value() * Decimal::from(3600) > charger.rated_power.value() * Decimal::from(seconds);
    [
        (session.energy.is_zero(), RowOddity::ZeroEnergy),
        (seconds == 0, RowOddity::ZeroDuration),
        (seconds > LONG_SECONDS, RowOddity::LongDuration),
        (is_above_rated, RowOddity::EnergyAboveRatedPower),
        (session.model.is_empty(), RowOddity::ModelMissing),
    ]
    .into_iter()
    .filter_map(|(applies, oddity)| applies.then_some(oddity))
    .collect()
}
