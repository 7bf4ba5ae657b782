//! Starting, stopping and closing a session.

use std::time::Duration;

use domain::agency::{self, AgencyTerms};
use domain::connector::{Connector, ConnectorCommand};
use domain::decider::Decider as _;
use domain::ids::{ConnectorId, OrderNumber, PaymentId, SessionId, TariffId, UserId};
use domain::journal::Journal;
use domain::log::{Position, StreamId};
use domain::operator::{BookingMode, Operator};
use domain::payment::Channel;
use domain::pile::Pile;
use domain::pricing::{self, Bill};
use domain::session::{DeviceFact, Discovery, PaymentMode, Request, Session, SessionCommand, SessionRefs, StopReason};
use domain::station::Station;
use domain::tariff::{Tariff, TariffSnapshot};
use domain::time::{Timestamp, ZoneName};
use domain::units::{Energy, Money, Power};
use domain::user::User;

use crate::Commands;
use crate::error::CommandError;
use crate::handle::{Done, Loaded};
use crate::request::{Caller, RequestIds};

/// How somebody wants to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPayment {
    /// Before: the rest goes back.
    Prepaid {
        /// How much.
        amount: Money,
        /// Through which channel.
        channel: Channel,
    },
    /// From the wallet.
    Wallet {
        /// How much to hold.
        hold: Money,
    },
    /// Afterwards.
    Postpaid,
}

/// Somebody wants to charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartSession {
    /// Where.
    pub connector_id: ConnectorId,
    /// Who.
    pub user_id: UserId,
    /// How it will be paid.
    pub payment: StartPayment,
}

/// What came of the wish.
#[derive(Debug, Clone, PartialEq)]
pub struct Requested {
    /// The session.
    pub session_id: SessionId,
    /// The number that people see.
    pub order_number: OrderNumber,
    /// The payment that has to succeed first, for a prepaid session.
    pub payment_id: Option<PaymentId>,
    /// What `X-Min-Position` waits for.
    pub position: Option<Position>,
}

/// Where a connector is, and what holds there.
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    /// The connector.
    pub connector: Connector,
    /// Its ids; no user.
    pub refs: SessionRefs,
    /// The operator's code, for order numbers.
    pub operator: Operator,
    /// The prices in force.
    pub tariff: Option<TariffSnapshot>,
    /// The station's zone.
    pub zone: ZoneName,
    /// The most that the connector gives.
    pub rated_power: Option<Power>,
    /// How bills are divided between the station's owner and the operator; none when they are booked whole.
    pub agency: Option<Box<AgencyTerms>>,
    station: String,
    /// All versions of the station's tariff, for what a device reports afterwards.
    versions: Tariff,
}

impl Commands {
    /// Asks for a session. The process managers take it from there; [`Commands::await_start`] waits for what becomes of it.
    ///
    /// # Errors
    /// When connector or user do not exist or take no session, or the station has no tariff in force.
    pub async fn start_session(&self, caller: &Caller, ids: &RequestIds, start: StartSession) -> Result<Requested, CommandError> {
        self.request_session(caller, ids, start, false).await
    }

    /// The same for a connector that may still be in use: it has to be free when the money is there.
    ///
    /// # Errors
    /// As [`Commands::start_session`], but for what the connector is doing at the moment.
    pub async fn start_session_ahead(&self, caller: &Caller, ids: &RequestIds, start: StartSession) -> Result<Requested, CommandError> {
        self.request_session(caller, ids, start, true).await
    }

    async fn request_session(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        start: StartSession,
        is_ahead: bool,
    ) -> Result<Requested, CommandError> {
        let session_id: SessionId = ids.id("session");
        let spot = self.spot(caller, start.connector_id, session_id, Some(start.user_id), caller.at).await?;
        let user = StreamId::user(start.user_id);
        self.owned("user", &user, caller.operator_id).await?;
        self.ledger.load::<User>(&user).await?.state.active()?;
        let tariff = spot.tariff.clone().ok_or(CommandError::NoTariffInForce { station: spot.station.clone() })?;
        let payment_id: PaymentId = ids.id("payment");
        let (mode, payment_id) = match start.payment {
            StartPayment::Prepaid { amount, channel } => {
                self.channel(channel)?;
                (PaymentMode::Prepaid { payment_id, amount, channel }, Some(payment_id))
            }
            StartPayment::Wallet { hold } => (PaymentMode::Wallet { hold }, None),
            StartPayment::Postpaid => (PaymentMode::Postpaid, None),
        };
        let order_number = spot.order_number(session_id, caller.at)?;
        let stream = StreamId::session(session_id);
        // Only an early answer: what keeps two sessions apart is the connector's own stream. A repetition is not refused for what has happened since.
        if !is_ahead
            && let Err(refusal) = spot.connector.decide(ConnectorCommand::Occupy { session_id })
            && self.origin(&stream).await?.is_none()
        {
            return Err(refusal.into());
        }
        let Spot { refs, zone, rated_power, agency, .. } = spot;
        let request = Request { refs, order_number: order_number.clone(), mode, tariff, zone, rated_power, agency };
        let envelope = caller.envelope(ids.command("request session"), session_id.0);
        let done = self.ledger.handle::<Session>(&stream, SessionCommand::Request(Box::new(request)), &envelope).await?;
        Ok(Requested { session_id, order_number, payment_id, position: done.position })
    }

    /// Waits until a session has started, has been refused, or the time is over; answers its state then.
    ///
    /// # Errors
    /// When the event store cannot be read.
    pub async fn await_start(&self, session_id: SessionId, at_most: Duration) -> Result<Loaded<Session>, CommandError> {
        let stream = StreamId::session(session_id);
        let decided = async {
            loop {
                let head = self.ledger.store().head().await.map_err(CommandError::Store)?;
                let loaded = self.ledger.load::<Session>(&stream).await?;
                if !matches!(loaded.state, Session::Absent | Session::Requested(_) | Session::Authorised(_) | Session::Starting { .. }) {
                    return Ok(loaded);
                }
                self.ledger.store().wait_past(head.position).await.map_err(CommandError::Store)?;
            }
        };
        match tokio::time::timeout(at_most, decided).await {
            Ok(decided) => decided,
            Err(_) => Ok(self.ledger.load::<Session>(&stream).await?),
        }
    }

    /// A session of this operator, as it is now.
    ///
    /// # Errors
    /// When there is none.
    pub async fn session(&self, caller: &Caller, session_id: SessionId) -> Result<Loaded<Session>, CommandError> {
        let stream = StreamId::session(session_id);
        self.owned("session", &stream, caller.operator_id).await?;
        Ok(self.ledger.load::<Session>(&stream).await?)
    }

    /// Asks for the end of a session.
    ///
    /// # Errors
    /// When it is not charging.
    pub async fn stop_session(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        session_id: SessionId,
        reason: StopReason,
    ) -> Result<Done<Session>, CommandError> {
        self.on_session(caller, ids, "stop session", session_id, SessionCommand::RequestStop { reason }).await
    }

    /// Ends a session by hand, or decides a dispute.
    ///
    /// # Errors
    /// When it never charged, is finished, or the note is missing.
    pub async fn close_session(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        session_id: SessionId,
        energy: Energy,
        ended_at: Timestamp,
        note: String,
    ) -> Result<Done<Session>, CommandError> {
        let close = SessionCommand::CloseByOperator { energy, ended_at, note };
        self.on_session(caller, ids, "close session", session_id, close).await
    }

    /// Gives a session that was discovered at a station without a tariff its prices: those of the version that held when it began, or of the first one where none
    /// did yet. What it delivered is billed with them as soon as it is certain.
    ///
    /// # Errors
    /// When it has prices already, there is no such tariff, the note is missing, or the tariff gives no price for it.
    pub async fn assign_session_tariff(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        session_id: SessionId,
        tariff_id: TariffId,
        note: String,
    ) -> Result<Done<Session>, CommandError> {
        let stream = StreamId::session(session_id);
        let heard_of = self.owned("session", &stream, caller.operator_id).await?;
        self.owned("tariff", &StreamId::tariff(tariff_id), caller.operator_id).await?;
        let session = self.ledger.load::<Session>(&stream).await?.state;
        let tariff = self.ledger.load::<Tariff>(&StreamId::tariff(tariff_id)).await?.state;
        let first_reading = session.course().and_then(|course| course.started).map(|started| started.read_at);
        let began_at = session.basis().map(|basis| basis.started_at).or(first_reading).unwrap_or(heard_of.occurred_at);
        let first = || tariff.versions().first().and_then(|first| tariff.held_at(first.effective_from));
        let missing = || CommandError::NotFound { what: "tariff", id: tariff_id.to_string() };
        let tariff = Box::new(tariff.held_at(began_at).or_else(first).ok_or_else(missing)?);
        self.on_session(caller, ids, "assign session tariff", session_id, SessionCommand::AssignTariff { tariff, note }).await
    }

    async fn on_session(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        name: &str,
        session_id: SessionId,
        command: SessionCommand,
    ) -> Result<Done<Session>, CommandError> {
        let stream = StreamId::session(session_id);
        let origin = self.owned("session", &stream, caller.operator_id).await?;
        let envelope = caller.envelope(ids.command(name), origin.correlation_id);
        Ok(self.ledger.handle_at::<Session>(&stream, command, &envelope, ids.revision()).await?)
    }

    /// What charging would cost on this connector.
    ///
    /// # Errors
    /// When the connector does not exist, has no tariff in force, or the amount cannot be priced.
    pub async fn estimate(&self, caller: &Caller, connector_id: ConnectorId, energy: Energy, at: Timestamp) -> Result<Bill, CommandError> {
        let spot = self.spot(caller, connector_id, SessionId(uuid::Uuid::nil()), None, at).await?;
        let tariff = spot.tariff.ok_or(CommandError::NoTariffInForce { station: spot.station })?;
        Ok(pricing::estimate(&tariff, &spot.zone, at, energy, spot.rated_power)?)
    }

    /// Where a connector of this operator is, and what holds there at a time.
    ///
    /// # Errors
    /// When there is none.
    pub async fn spot(
        &self,
        caller: &Caller,
        connector_id: ConnectorId,
        session_id: SessionId,
        user_id: Option<UserId>,
        at: Timestamp,
    ) -> Result<Spot, CommandError> {
        let missing = |what: &'static str, id: String| CommandError::NotFound { what, id };
        let stream = StreamId::connector(connector_id);
        self.owned("connector", &stream, caller.operator_id).await?;
        let connector = self.ledger.load::<Connector>(&stream).await?.state;
        let (Some(pile_id), Some(station_id)) = (connector.pile_id(), connector.station_id()) else {
            return Err(missing("connector", connector_id.to_string()));
        };
        let pile = self.ledger.load::<Pile>(&StreamId::pile(pile_id)).await?.state;
        let station = self.ledger.load::<Station>(&StreamId::station(station_id)).await?.state;
        let operator = self.ledger.load::<Operator>(&StreamId::operator(caller.operator_id)).await?.state;
        let zone = station.zone().cloned().ok_or_else(|| missing("station", station_id.to_string()))?;
        let versions = match station.tariff_id() {
            Some(tariff_id) => self.ledger.load::<Tariff>(&StreamId::tariff(tariff_id)).await?.state,
            None => Tariff::Absent,
        };
        let tariff = versions.in_force(at);
        let refs = SessionRefs { session_id, station_id, pile_id, connector_id, user_id };
        let agency = self.agency_terms(caller, &operator, &station).await?.map(Box::new);
        let rated_power = pile.rated_power();
        Ok(Spot { connector, refs, operator, tariff, zone, rated_power, agency, station: station_id.to_string(), versions })
    }

    /// The books are asked only for an operator that books as agent: most sessions do not have to read them.
    async fn agency_terms(&self, caller: &Caller, operator: &Operator, station: &Station) -> Result<Option<AgencyTerms>, CommandError> {
        if operator.facts().is_none_or(|facts| facts.booking == BookingMode::Principal) || station.ownership().is_none() {
            return Ok(None);
        }
        let books = self.ledger.load::<Journal>(&StreamId::journal(caller.operator_id)).await?.state;
        Ok(agency::terms_of(operator, &books, station))
    }
}

impl Spot {
    /// The order number of a session here.
    ///
    /// # Errors
    /// When the operator is not registered.
    pub fn order_number(&self, session_id: SessionId, at: Timestamp) -> Result<OrderNumber, CommandError> {
        let code = self.operator.code().ok_or_else(|| CommandError::NotFound { what: "operator", id: String::new() })?;
        Ok(OrderNumber::of(code, session_id, at))
    }

    /// What is known of a session here that only a device has heard of. A record tells of one that is over: the prices are those of its beginning, as for a session
    /// that was asked for, and no withdrawal since then makes it free. Where none held then, or the beginning lies in the future, they are those of its end.
    ///
    /// # Errors
    /// When the operator is not registered.
    pub fn discovery(self, fact: &DeviceFact, at: Timestamp) -> Result<Discovery, CommandError> {
        let order_number = self.order_number(self.refs.session_id, at)?;
        let Spot { refs, tariff, zone, rated_power, agency, versions, .. } = self;
        let tariff = match fact {
            DeviceFact::Record { record } => versions.held_at(record.started_at.min(at)).or_else(|| versions.held_at(at)),
            DeviceFact::Started { .. }
            | DeviceFact::Meter { .. }
            | DeviceFact::Stopped { .. }
            | DeviceFact::Faulted { .. }
            | DeviceFact::Unplugged { .. } => tariff,
        };
        Ok(Discovery { refs, order_number, tariff, zone, rated_power, agency })
    }
}
