//! Many users and sessions at once, on a store, a channel and devices that break, with the process managers killed now and then. All from a seed, which a failure prints.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use commands::device::ConnectorReport;
use commands::payment::PayFor;
use commands::port::payment_no;
use commands::session::{StartPayment, StartSession};
use commands::{CommandError, Commands};
use domain::ids::{CommandId, PaymentId, SessionId};
use domain::log::EventStore;
use domain::payment::Channel;
use domain::session::{DeviceFact, Session, SessionRefs, StopReason};
use domain::testing::id;
use domain::time::Timestamp;
use domain::units::Money;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sandbox::Behaviour;

use crate::books::{Books, are_in_order};
use crate::broken::{Mood, Rates};
use crate::world::{CONNECTORS, USERS, World, connector, prepaid, reading, record, user};

/// Seeds that found something once.
const REGRESSIONS: &[u64] = &[];
const STEPS: usize = 200;
const FAULTS: Rates = Rates { before: 20, lost_answer: 20, read: 10, delay_ms_max: 4, is_only_writer: false, has_threads: false };

/// A device that charges.
struct Charging {
    refs: SessionRefs,
    started_at: Timestamp,
    energy: u32,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Begins,
    Charges,
    Ended,
    Recorded,
}

/// A message on its way from a device.
#[derive(Clone)]
struct Mail {
    message: CommandId,
    refs: SessionRefs,
    fact: DeviceFact,
}

struct Simulation {
    world: World,
    random: ChaCha8Rng,
    devices: Vec<Charging>,
    mail: VecDeque<Mail>,
    sessions: Vec<(SessionId, u128)>,
    payments: Vec<PaymentId>,
    unpaid: Vec<PaymentId>,
    answered: u32,
    failed: u32,
}

impl Simulation {
    async fn new(store: Arc<dyn EventStore>, seed: u64, faults: Rates) -> Simulation {
        let mut world = World::new(store, seed, faults, Behaviour::realistic(seed), false).await;
        world.devices.set_mood(Mood::Moody);
        world.start_managers().await;
        let random = ChaCha8Rng::seed_from_u64(seed);
        let (devices, mail, sessions, payments, unpaid) = Default::default();
        Simulation { world, random, devices, mail, sessions, payments, unpaid, answered: 0, failed: 0 }
    }

    fn dice(&mut self, sides: u32) -> u32 {
        self.random.random_range(0..sides)
    }

    fn fen(&mut self, most: u32) -> Money {
        Money::from_fen(i64::from(self.random.random_range(1..=most)))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.random.random_range(0..from.len())])
    }

    /// A client repeats a request that failed, later and perhaps to another process, or gives up.
    async fn ask<T>(&mut self, request: impl AsyncFn(&Commands, &World) -> Result<T, CommandError>) -> Option<T> {
        let mut edge = Arc::clone(&self.world.edge);
        loop {
            match request(&edge, &self.world).await {
                Ok(answer) => {
                    self.answered += 1;
                    return Some(answer);
                }
                Err(error) if error.is_retryable() => {
                    if self.dice(6) == 0 {
                        self.failed += 1;
                        return None;
                    }
                    self.world.clock.advance(1);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    if self.dice(3) == 0 {
                        edge = self.world.process();
                    }
                }
                Err(error) => {
                    assert!(error.is_refusal(), "{error}");
                    return None;
                }
            }
        }
    }

    async fn step(&mut self) {
        match self.dice(100) {
            0..16 => self.start().await,
            16..22 => self.top_up().await,
            22..40 => self.pay().await,
            40..65 => self.device_acts(),
            65..83 => self.deliver().await,
            83..85 => self.stop().await,
            85..87 => self.refund_payment().await,
            87..88 => self.refund_wallet().await,
            88..92 => self.pay_later().await,
            92..93 => self.stray().await,
            93..94 => self.connector_reports().await,
            94..96 => self.close().await,
            96..98 => {
                self.world.crash_managers().await;
                self.world.clock.advance(i64::from(self.random.random_range(0..120_u32)));
                self.world.start_managers().await;
            }
            _ => self.world.clock.advance(i64::from(self.random.random_range(0..10_000_u32))),
        }
        self.world.clock.advance(i64::from(self.random.random_range(0..90_u32)));
        let pause = self.random.random_range(0..1_500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        for refs in self.world.devices.begun() {
            let started_at = self.world.now();
            self.devices.push(Charging { refs, started_at, energy: 0, phase: Phase::Begins });
        }
    }

    async fn start(&mut self) {
        let who = u128::from(self.dice(u32::try_from(USERS).unwrap()));
        let place = u128::from(self.dice(u32::try_from(CONNECTORS).unwrap()));
        let payment = match self.dice(3) {
            0 => prepaid(&self.fen(6_000).to_string()),
            1 => StartPayment::Wallet { hold: self.fen(4_000) },
            _ => StartPayment::Postpaid,
        };
        let ids = self.world.request();
        let start = StartSession { connector_id: connector(place), user_id: user(who), payment };
        let requested = self.ask(async |edge, world| edge.start_session(&world.caller(), &ids, start).await).await;
        if let Some(requested) = requested {
            self.sessions.push((requested.session_id, who));
            self.unpaid.extend(requested.payment_id);
            self.payments.extend(requested.payment_id);
        }
    }

    async fn top_up(&mut self) {
        let who = u128::from(self.dice(u32::try_from(USERS).unwrap()));
        let amount = self.fen(8_000);
        self.initiate(who, PayFor::TopUp, amount).await;
    }

    /// A part of what a session owes, all of it, or more than that, which is refused.
    async fn pay_later(&mut self) {
        let sessions = self.sessions.clone();
        let Some((session, who)) = self.pick(&sessions) else { return };
        let owed = match self.world.session(session).await {
            Session::Billed { bill, paid, .. } => bill.total - paid.total(),
            _ => Money::ZERO,
        };
        let amount = if self.dice(3) == 0 { self.fen(1_500) } else { owed };
        self.initiate(who, PayFor::Session(session), amount).await;
    }

    async fn initiate(&mut self, who: u128, pay_for: PayFor, amount: Money) {
        let ids = self.world.request();
        let asked = self.ask(async |edge, world| edge.pay(&world.caller(), &ids, user(who), Channel::Sandbox, pay_for, amount).await).await;
        if let Some((payment, _)) = asked {
            self.unpaid.push(payment);
            self.payments.push(payment);
        }
    }

    /// A payer pays, is refused by the bank, or forgets.
    async fn pay(&mut self) {
        if self.unpaid.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.unpaid.len());
        let payment = self.unpaid.swap_remove(index);
        let (number, now) = (payment_no(payment), self.world.now());
        match self.dice(10) {
            0 => {}
            1 => _ = self.world.channel.fail(&number, now, "no funds").await,
            _ => {
                if self.world.channel.pay(&number, now).await.is_err() {
                    // Not known to the channel yet, or closed there: whoever wants to pay tries once more.
                    self.unpaid.push(payment);
                }
            }
        }
    }

    /// One of the devices that charge does the next thing, and sends word of it.
    fn device_acts(&mut self) {
        if self.devices.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.devices.len());
        let now = self.world.now();
        let more = self.random.random_range(1..400);
        let ends = self.random.random_range(0..4) == 0 || self.world.devices.is_stopped(self.devices[index].refs.session_id);
        let device = &mut self.devices[index];
        let refs = device.refs;
        let text = |energy: u32| format!("{}.{:02}", energy / 100, energy % 100);
        let facts = match device.phase {
            Phase::Begins => {
                (device.phase, device.started_at) = (Phase::Charges, now);
                vec![DeviceFact::Started { meter: reading("0", now) }]
            }
            Phase::Charges if !ends => {
                device.energy += more;
                vec![DeviceFact::Meter { reading: reading(&text(device.energy), now) }]
            }
            Phase::Charges if more < 30 => {
                device.phase = Phase::Ended;
                vec![DeviceFact::Faulted { code: "7".into(), faulted_at: now }]
            }
            Phase::Charges => {
                device.phase = Phase::Ended;
                vec![DeviceFact::Stopped { reason: StopReason::Local, meter: None, stopped_at: now }]
            }
            Phase::Ended => {
                device.phase = Phase::Recorded;
                let mut record = record(device.started_at, now, &text(device.energy));
                if more < 20 {
                    record.energy = "-1".parse().unwrap();
                }
                vec![DeviceFact::Record { record }]
            }
            Phase::Recorded => {
                self.devices.swap_remove(index);
                vec![DeviceFact::Unplugged { unplugged_at: now }]
            }
        };
        for fact in facts {
            let message = self.world.message();
            self.mail.push_back(Mail { message, refs, fact });
        }
    }

    /// One of the first messages arrives: once, twice, under a new message id, or never.
    async fn deliver(&mut self) {
        if self.mail.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.mail.len().min(4));
        let Some(mut mail) = self.mail.remove(index) else { return };
        match self.dice(20) {
            0 => return,
            1..4 => self.mail.push_back(mail.clone()),
            4 => {
                self.mail.push_back(mail.clone());
                mail.message = self.world.message();
            }
            _ => {}
        }
        self.hand_in(mail).await;
    }

    async fn hand_in(&mut self, mail: Mail) {
        let Mail { message, refs, fact } = mail;
        self.ask(async |edge, world| edge.device_fact(&world.device(), message, refs.connector_id, refs.session_id, fact.clone()).await)
            .await;
    }

    /// A device speaks of a session that nobody has heard of.
    async fn stray(&mut self) {
        let place = u128::from(self.dice(u32::try_from(CONNECTORS).unwrap()));
        let (pile_id, station_id) = (id(400 + place / 2), id(200 + place / 2));
        let session_id = SessionId::of_transaction(pile_id, &self.dice(5).to_string());
        let refs = SessionRefs { session_id, station_id, pile_id, connector_id: connector(place), user_id: None };
        self.devices.push(Charging { refs, started_at: self.world.now(), energy: 0, phase: Phase::Begins });
    }

    async fn stop(&mut self) {
        let sessions = self.sessions.clone();
        let Some((session, _)) = self.pick(&sessions) else { return };
        let ids = self.world.request();
        self.ask(async |edge, world| edge.stop_session(&world.caller(), &ids, session, StopReason::User).await).await;
    }

    async fn close(&mut self) {
        let sessions = self.sessions.clone();
        let Some((session, _)) = self.pick(&sessions) else { return };
        let energy = format!("{}.5", self.dice(20));
        self.close_by_hand(session, &energy).await;
    }

    async fn close_by_hand(&mut self, session: SessionId, energy: &str) {
        let ids = self.world.request();
        let energy: domain::units::Energy = energy.parse().unwrap();
        self.ask(async |edge, world| edge.close_session(&world.caller(), &ids, session, energy, world.now(), "by hand".into()).await).await;
    }

    async fn refund_payment(&mut self) {
        let payments = self.payments.clone();
        let Some(payment) = self.pick(&payments) else { return };
        let (ids, amount) = (self.world.request(), self.fen(1_500));
        self.ask(async |edge, world| edge.refund_payment(&world.caller(), &ids, payment, amount, "complaint".into()).await).await;
    }

    async fn refund_wallet(&mut self) {
        let who = u128::from(self.dice(u32::try_from(USERS).unwrap()));
        let (ids, amount) = (self.world.request(), self.fen(4_000));
        self.ask(async |edge, world| edge.refund_wallet(&world.caller(), &ids, user(who), amount, None).await).await;
    }

    async fn connector_reports(&mut self) {
        let place = u128::from(self.dice(u32::try_from(CONNECTORS).unwrap()));
        let report = match self.dice(4) {
            0 => ConnectorReport::Offline,
            1 => ConnectorReport::Faulted { code: "3".into() },
            2 => ConnectorReport::FaultCleared,
            _ => ConnectorReport::Online,
        };
        let message = self.world.message();
        self.ask(async |edge, world| edge.connector_report(&world.device(), message, connector(place), report.clone()).await).await;
    }

    /// What is still on its way arrives, everything heals, and time passes until every deadline has.
    async fn end(&mut self) {
        while let Some(mail) = self.mail.pop_front() {
            self.hand_in(mail).await;
        }
        self.world.wire.set_broken(false);
        self.world.pass(3_600, 300).await;
        self.world.pass(60 * 3_600, 3 * 3_600).await;
        // A person looks after what was given up, and after a record that is not believed.
        for session in Books::of(&self.world.log().await).given_up() {
            self.close_by_hand(session, "3").await;
        }
        self.world.settle_down().await;
        self.world.pass(3_600, 600).await;
    }
}

/// Prints the seed when the test dies in it.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed is {}; keep it among the regressions", self.0);
        }
    }
}

async fn run(store: Arc<dyn EventStore>, seed: u64, steps: usize, faults: Rates) -> (Books, u64) {
    let _seed = Seed(seed);
    let mut simulation = Simulation::new(store, seed, faults).await;
    for who in 0..USERS {
        let amount = simulation.fen(20_000);
        simulation.initiate(who, PayFor::TopUp, amount).await;
    }
    for _ in 0..steps {
        simulation.step().await;
    }
    simulation.end().await;
    let books = are_in_order(&simulation.world).await;
    let events = simulation.world.store.head().await.unwrap().events;
    println!("seed {seed}: {events} events, {} answers, {} without; {:?}", simulation.answered, simulation.failed, books.tally());
    (books, events)
}

/// Every other seed has one process, the others have many.
fn faults(seed: u64) -> Rates {
    Rates { is_only_writer: seed.is_multiple_of(2), ..FAULTS }
}

fn memory() -> Arc<dyn EventStore> {
    Arc::new(memory::MemoryStore::default())
}

#[tokio::test(start_paused = true)]
async fn whatever_breaks_every_fen_is_accounted_for() {
    let mut tally = std::collections::BTreeMap::<String, usize>::new();
    for seed in REGRESSIONS.iter().copied().chain(seeds(1, 12)) {
        for (what, count) in run(memory(), seed, STEPS, faults(seed)).await.0.tally() {
            *tally.entry(what).or_default() += count;
        }
    }
    for what in ["prepaid billed", "prepaid not started", "wallet billed", "wallet not started", "postpaid billed"] {
        assert!(tally.get(what).is_some_and(|count| *count > 0), "no session was {what}: {tally:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_balances() {
    for seed in seeds(1_000, 2) {
        let (first, second) = (run(memory(), seed, STEPS, faults(seed)).await, run(memory(), seed, STEPS, faults(seed)).await);
        assert_eq!((first.0.digest(), first.1), (second.0.digest(), second.1), "seed {seed}");
    }
}

/// The engine on disk answers from threads of its own, so that no two runs are alike.
#[tokio::test(start_paused = true)]
async fn it_holds_on_the_embedded_engine_too() {
    for seed in seeds(2_000, 2) {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(embedded::EmbeddedStore::open(folder.path()).unwrap());
        run(store, seed, STEPS / 2, Rates { has_threads: true, ..faults(seed) }).await;
        let mut reader = embedded::Reader::open(folder.path()).unwrap();
        assert_eq!(reader.verify(|_| ()).unwrap().fault, None);
    }
}

/// `SIMULATION_SEEDS=1000` looks at more of them, `SIMULATION_FROM=…` elsewhere.
fn seeds(from: u64, count: u64) -> std::ops::Range<u64> {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let from = read("SIMULATION_FROM").unwrap_or(from);
    from..from + read("SIMULATION_SEEDS").unwrap_or(count)
}
