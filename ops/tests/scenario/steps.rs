//! Every step of the process managers twice, failing once, with its answer lost, and interrupted between its effect and the record of it. The managers are turned by hand
//! here, one event after the other; whatever is done to them, the balances come out the same.

use commands::process::deadlines::Deadlines;
use commands::process::{Step, react};
use commands::session::StartPayment;
use domain::event::Event;
use domain::ids::{PaymentId, SessionId};
use domain::log::{Metadata, Position, Recorded};
use domain::session::DeviceFact;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::books::are_in_order;
use crate::broken::Fault;
use crate::world::{World, connector, prepaid, record, user, yuan};

/// What is done to every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Twice,
    FailsOnce,
    AnswerLost,
    /// At random: nothing, or a crash after a step, whereupon a new process goes on from an earlier place.
    Crashes,
}

struct Crank {
    world: World,
    process: std::sync::Arc<commands::Commands>,
    trouble: Trouble,
    random: ChaCha8Rng,
    /// Everything up to here has been reacted to.
    done: Position,
    /// What was kept of that.
    kept: Position,
    crashes: u32,
}

impl Crank {
    async fn new(trouble: Trouble, seed: u64) -> Crank {
        let world = World::calm().await;
        let process = world.process();
        let random = ChaCha8Rng::seed_from_u64(seed);
        Crank { world, process, trouble, random, done: Position(0), kept: Position(0), crashes: 0 }
    }

    /// Turns until nothing is left to react to and nothing is due.
    async fn turn(&mut self) {
        loop {
            self.world.settle_down().await;
            let log = self.world.log().await;
            let Some(next) = log.iter().find(|recorded| recorded.position > self.done) else {
                if self.meet_deadlines().await {
                    continue;
                }
                return;
            };
            if self.react(next).await {
                self.done = next.position;
                if self.random.random_range(0..4) == 0 {
                    self.kept = self.done;
                }
            }
        }
    }

    /// False when it crashed in the middle.
    async fn react(&mut self, recorded: &Recorded<Event>) -> bool {
        for step in react(recorded) {
            self.perform(&step, &recorded.metadata).await;
            if self.trouble == Trouble::Crashes && self.crashes < 40 && self.random.random_range(0..6) == 0 {
                self.crashes += 1;
                self.process = self.world.process();
                self.done = self.kept;
                return false;
            }
        }
        true
    }

    async fn perform(&mut self, step: &Step, cause: &Metadata) {
        match self.trouble {
            Trouble::None | Trouble::Crashes => {}
            Trouble::Twice => self.process.perform(step, cause).await.unwrap(),
            Trouble::FailsOnce | Trouble::AnswerLost => {
                let fault = if self.trouble == Trouble::FailsOnce { Fault::Before } else { Fault::LostAnswer };
                self.world.wire.fail_next(fault);
                let failed = self.process.perform(step, cause).await;
                // A step that appends nothing cannot fail so.
                if !self.world.wire.take_back() {
                    assert!(failed.is_err_and(|error| error.is_retryable()), "{step:?}");
                }
            }
        }
        self.process.perform(step, cause).await.unwrap();
    }

    /// Whether anything was due.
    async fn meet_deadlines(&mut self) -> bool {
        let head = self.world.store.head().await.unwrap().position;
        let mut deadlines = Deadlines::of_log(&self.world.store, head).await.unwrap();
        let due = deadlines.due(self.world.now());
        for missed in &due {
            self.perform(&missed.step, &missed.cause).await;
        }
        self.world.settle_down().await;
        !due.is_empty() && self.world.store.head().await.unwrap().position > head
    }

    async fn start(&mut self, place: u128, who: u128, payment: StartPayment) -> (SessionId, Option<PaymentId>) {
        let requested = self.world.start(connector(place), user(who), payment).await.unwrap();
        self.turn().await;
        (requested.session_id, requested.payment_id)
    }

    async fn pass(&mut self, seconds: i64) {
        self.world.clock.advance(seconds);
        self.turn().await;
    }
}

/// Sessions in every mode and out of every door; the balances in the end.
async fn play(trouble: Trouble, seed: u64) -> String {
    let mut crank = Crank::new(trouble, seed).await;
    for who in 0..2 {
        let pay_for = commands::payment::PayFor::TopUp;
        let channel = domain::payment::Channel::Sandbox;
        let (caller, ids) = (crank.world.caller(), crank.world.request());
        crank.world.edge.pay(&caller, &ids, user(who), channel, pay_for, yuan("60")).await.unwrap();
        crank.turn().await;
    }
    let (with_rest, payment) = crank.start(0, 0, prepaid("50")).await;
    let (from_wallet, _) = crank.start(1, 1, StartPayment::Wallet { hold: yuan("10") }).await;
    let (later, _) = crank.start(2, 2, StartPayment::Postpaid).await;
    // Occupied, refused by the wallet, and never confirmed.
    assert!(crank.world.start(connector(2), user(3), prepaid("20")).await.is_err());
    crank.start(3, 3, StartPayment::Wallet { hold: yuan("10") }).await;
    crank.start(3, 4, prepaid("20")).await;
    for (session, energy) in [(with_rest, "20"), (from_wallet, "30"), (later, "10")] {
        crank.world.charge(session, energy, 0).await;
        crank.turn().await;
    }
    crank.pass(61).await;
    let unplugged_at = crank.world.now().plus_seconds(1_200);
    for session in [with_rest, from_wallet] {
        crank.world.report(session, DeviceFact::Unplugged { unplugged_at }).await;
        crank.turn().await;
    }
    let ids = crank.world.request();
    let pay_for = commands::payment::PayFor::Session(later);
    let channel = domain::payment::Channel::Sandbox;
    crank.world.edge.pay(&crank.world.caller(), &ids, user(2), channel, pay_for, yuan("12")).await.unwrap();
    crank.turn().await;
    let (caller, ids) = (crank.world.caller(), crank.world.request());
    crank.world.edge.refund_payment(&caller, &ids, payment.unwrap(), yuan("3"), "complaint".into()).await.unwrap();
    crank.turn().await;
    crank.world.edge.refund_wallet(&crank.world.caller(), &ids, user(0), yuan("25"), None).await.unwrap();
    crank.turn().await;
    // Closed by hand, and then its record says less: the wallet gets the difference back.
    let (by_hand, _) = crank.start(2, 1, StartPayment::Wallet { hold: yuan("15") }).await;
    let started_at = crank.world.now();
    crank.world.report(by_hand, DeviceFact::Started { meter: crate::world::reading("0", started_at) }).await;
    crank.turn().await;
    let (caller, ids, ended_at) = (crank.world.caller(), crank.world.request(), crank.world.now());
    crank.world.edge.close_session(&caller, &ids, by_hand, "12".parse().unwrap(), ended_at, "silent".into()).await.unwrap();
    crank.turn().await;
    crank.world.report(by_hand, DeviceFact::Record { record: record(started_at, ended_at, "7") }).await;
    crank.turn().await;
    assert_eq!(crank.world.count("wallet.credited").await, 1);
    // Given up, and heard of again.
    let (silent, _) = crank.start(3, 0, prepaid("30")).await;
    let started_at = crank.world.now();
    crank.world.report(silent, DeviceFact::Started { meter: crate::world::reading("0", started_at) }).await;
    crank.turn().await;
    crank.pass(7 * 3_600).await;
    crank.world.report(silent, DeviceFact::Record { record: record(started_at, crank.world.now(), "5") }).await;
    crank.turn().await;
    if trouble == Trouble::Crashes {
        assert!(crank.crashes > 3, "nothing was interrupted");
    }
    are_in_order(&crank.world).await.digest()
}

#[tokio::test(start_paused = true)]
async fn every_step_can_be_done_twice() {
    assert_eq!(play(Trouble::Twice, 0).await, play(Trouble::None, 0).await);
}

#[tokio::test(start_paused = true)]
async fn every_step_can_fail_once() {
    assert_eq!(play(Trouble::FailsOnce, 0).await, play(Trouble::None, 0).await);
}

#[tokio::test(start_paused = true)]
async fn every_answer_can_be_lost_once() {
    assert_eq!(play(Trouble::AnswerLost, 0).await, play(Trouble::None, 0).await);
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_an_effect_and_its_record_changes_nothing() {
    let undisturbed = play(Trouble::None, 0).await;
    for seed in 0..8 {
        println!("seed {seed}");
        assert_eq!(play(Trouble::Crashes, seed).await, undisturbed, "seed {seed}");
    }
}
