//! What the files do not have: users, payments and prices, made up around the real sessions. The same seed makes up the same, session by session, whatever
//! else is in the file; whoever states any of it to the ledger does so as [`Generator::actor`], so that it can be told from what is real.

use commands::user::PersonalData;
use domain::ids::{OperatorId, TariffId, UserId};
use domain::log::Actor;
use domain::tariff::{HalfHours, IdleFee, Rate, Rates, Restrictions, TariffElement, TariffTerms, TaxRates};
use domain::time::Timestamp;
use domain::units::{Money, Power, PricePerKwh};
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::plan::PlannedSession;

/// The seed of every import that is not told another one.
pub(crate) const SEED: u64 = 20_230_103;
/// How many drivers there are.
const USERS: u64 = 800;
/// Above this, in kW, a charger is a fast one, and people pay more before.
const FAST_KW: i64 = 40;
/// When the second version of the tariff begins to hold: 2019-01-01 at 05:00 UTC.
const SECOND_TARIFF_FROM: i64 = 1_546_318_800_000_000;

/// Makes things up.
pub(crate) struct Generator {
    seed: u64,
    scope: Uuid,
    actor: Actor,
}

/// How a session was paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paying {
    pub(crate) user: u64,
    pub(crate) how: How,
    /// When what is left after settlement is paid; never, for some.
    pub(crate) pays_rest_at: Option<Timestamp>,
}

/// The three ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Before; sometimes less than the bill comes to.
    Prepaid { amount: Money },
    /// Out of the wallet, topped up just before with at least what is held.
    Wallet { top_up: Money, hold: Money },
    /// Afterwards.
    Postpaid,
}

/// A version of the tariff.
pub(crate) struct TariffVersion {
    pub(crate) effective_from: Timestamp,
    pub(crate) terms: TariffTerms,
}

impl Generator {
    pub(crate) fn new(format: &str, operator_id: OperatorId, seed: u64) -> Generator {
        let name = format!("generated {format} seed={seed}");
        Generator { seed, scope: Uuid::new_v5(&operator_id.0, name.as_bytes()), actor: Actor::system(&name) }
    }

    /// Who states what is made up.
    pub(crate) fn actor(&self) -> &Actor {
        &self.actor
    }

    pub(crate) fn tariff_id(&self) -> TariffId {
        TariffId::derived(self.scope, "tariff")
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = u64> {
        0..USERS
    }

    pub(crate) fn user_id(&self, user: u64) -> UserId {
        UserId::derived(self.scope, &format!("user {user}"))
    }

    /// A person who does not exist: the number lies in the range that North America keeps for fiction (555-0100 to 555-0199), under a made-up area.
    pub(crate) fn personal_data(&self, user: u64) -> PersonalData {
        PersonalData {
            phone: Some(format!("+1 {} 555 01{:02}", 200 + user / 100, user % 100)),
            name: Some(format!("Driver {}", user + 1)),
            plate: Some(format!("DEMO {:04}", user + 1)),
        }
    }

    /// Who paid for a session, and how. Most people pay before, some from their wallet, some afterwards; of those who owe something at the end, most pay it.
    pub(crate) fn paying(&self, session: &PlannedSession) -> Paying {
        let user = self.draw(session.session_id.0, "user", USERS);
        let is_fast = session.rated_power > Power::new(Decimal::from(FAST_KW)).unwrap_or_default();
        let amounts: [i64; 4] = if is_fast { [80, 150, 200, 300] } else { [10, 20, 30, 50] };
        let amount = |what| {
            let place = usize::try_from(self.draw(session.session_id.0, what, 4)).unwrap_or(0);
            Money::from_fen(amounts[place] * 100)
        };
        let user_id = self.user_id(user).0;
        let how = match self.draw(user_id, "mode", 20) {
            0..13 => How::Prepaid { amount: amount("prepayment") },
            13..17 => {
                let hold = amount("hold");
                How::Wallet { top_up: hold.max(amount("top-up")), hold }
            }
            _ => How::Postpaid,
        };
        let days = i64::try_from(self.draw(session.session_id.0, "pays after", 30)).unwrap_or(0) + 1;
        let pays = self.draw(session.session_id.0, "pays", 100) < 85;
        Paying { user, how, pays_rest_at: pays.then(|| session.ended_at.plus_seconds(days * 24 * 3600)) }
    }

    /// The prices, in versions: what a large Chinese city's public chargers cost, split into sharp, peak, flat and valley by the station's clock, cheaper on
    /// Sundays; and the same, a little higher, from 2019 on.
    pub(crate) fn tariff(&self, opened_at: Timestamp) -> Vec<TariffVersion> {
        let second = Timestamp::from_micros(SECOND_TARIFF_FROM).unwrap_or(opened_at);
        let mut versions = vec![TariffVersion { effective_from: opened_at, terms: terms([110_000, 95_000, 62_000, 27_000], 40_000) }];
        if second > opened_at {
            versions.push(TariffVersion { effective_from: second, terms: terms([131_250, 109_480, 68_720, 26_310], 45_000) });
        }
        versions
    }

    /// One of `0..below`, the same every time for the same subject and question.
    fn draw(&self, subject: Uuid, question: &str, below: u64) -> u64 {
        let mut sha = Sha256::new();
        sha.update(self.seed.to_be_bytes());
        sha.update(subject.as_bytes());
        sha.update(question.as_bytes());
        let digest = sha.finalize();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(bytes) % below
    }
}

/// Energy prices of the four periods and the service fee, in hundred-thousandths of a yuan per kWh.
fn terms(energy: [i64; 4], service: i64) -> TariffTerms {
    let price = |value: i64| PricePerKwh::new(Decimal::new(value, PricePerKwh::SCALE)).unwrap_or_default();
    let rates = |service: i64| {
        let [sharp, peak, flat, valley] = energy.map(|energy| Rate { energy: price(energy), service: price(service) });
        Rates { sharp, peak, flat, valley }
    };
    // Valley until 07:00 and from 23:00, peak 10:00–12:00 and 14:00–19:00 with sharp 15:00–17:00 in it, flat otherwise.
    let working: HalfHours =
        "VVVVVVVVVVVVVVFFFFFFPPPPFFFFPPSSSSPPPPFFFFFFFFVV".parse().unwrap_or(HalfHours::all(domain::tariff::TouPeriod::Flat));
    let sunday: HalfHours =
        "VVVVVVVVVVVVVVVVFFFFFFFFFFFFFFFFFFFFFFFFFFFFVVVV".parse().unwrap_or(HalfHours::all(domain::tariff::TouPeriod::Flat));
    let percent = |rate: i64| domain::units::Percent::new(Decimal::from(rate)).unwrap_or_default();
    TariffTerms {
        elements: vec![
            TariffElement {
                restrictions: Restrictions { weekdays: vec![7], ..Restrictions::default() },
                half_hours: sunday,
                rates: rates(service),
            },
            TariffElement { restrictions: Restrictions::default(), half_hours: working, rates: rates(service) },
        ],
        idle: None::<IdleFee>,
        tax: TaxRates { energy: percent(13), service: percent(6), idle: percent(6) },
    }
}
