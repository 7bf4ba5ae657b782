//! A session while it happens, as server-sent events: state changes, readings, and what it costs so far.
//!
//! One subscription on the log serves all clients: it only says which sessions have news, and each client's stream reads its own session from the log. A slow
//! client therefore misses nothing and holds nobody up.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use domain::decider::Decider as _;
use domain::event::Event;
use domain::ids::SessionId;
use domain::log::{EventStore, Filter, Position, Recorded, Revision, StreamId};
use domain::session::{MeterReading, Session, SessionEvent};
use futures::{Stream, StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::watch;
use tracing::error;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::asked::Id;
use crate::auth::Asker;
use crate::problem::{Kind, Problem};
use crate::sessions::SessionStatus;
use crate::wire::{Kwh, Time, Yuan};

/// How many events are read at a time.
const PAGE: usize = 256;

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(live))
}

/// Says which sessions have news.
#[derive(Debug, Default)]
pub struct Hub {
    watched: Mutex<HashMap<SessionId, watch::Sender<Position>>>,
}

impl Hub {
    /// Follows the log in a task of its own, until told to stop; streams end with it.
    #[must_use]
    pub fn follow(store: Arc<dyn EventStore>, mut stop: watch::Receiver<bool>) -> Arc<Hub> {
        let hub = Arc::new(Hub::default());
        let following = Arc::clone(&hub);
        tokio::spawn(async move {
            let work = async {
                loop {
                    // What came before has been read by whoever watches; only news are waited for.
                    let Ok(head) = store.head().await else {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        continue;
                    };
                    following.wake_all(head.position);
                    let mut pages = Arc::clone(&store).subscribe_all(head.position, Filter::All, 1_024);
                    while let Some(page) = pages.next().await {
                        match page {
                            Ok(page) => page.events.iter().for_each(|stored| following.tell(&stored.stream, stored.position)),
                            Err(error) => {
                                error!(%error, "live sessions are not followed at the moment");
                                break;
                            }
                        }
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            };
            tokio::select! {
                () = work => {}
                _ = stop.changed() => {}
            }
            following.lock().clear();
        });
        hub
    }

    /// Is told when the session has news; ends when the hub does.
    fn watch(&self, session_id: SessionId) -> watch::Receiver<Position> {
        let mut watched = self.lock();
        watched.retain(|_, sender| sender.receiver_count() > 0);
        watched.entry(session_id).or_insert_with(|| watch::Sender::new(Position(0))).subscribe()
    }

    fn tell(&self, stream: &StreamId, position: Position) {
        if stream.category() != "session" {
            return;
        }
        if let Ok(session_id) = stream.key().parse::<SessionId>()
            && let Some(sender) = self.lock().get(&session_id)
        {
            sender.send_replace(position);
        }
    }

    /// After an interruption everybody looks for themselves.
    fn wake_all(&self, position: Position) {
        self.lock().values().for_each(|sender| {
            sender.send_replace(position);
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, watch::Sender<Position>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One message of a live session. Its name is that of what happened, its id the revision.
#[derive(Debug, Serialize, ToSchema)]
pub struct LiveMessage {
    /// Its place in the session's stream.
    revision: u64,
    /// What happened, like `meter_read`.
    happened: String,
    /// Where the session is on its way now.
    status: SessionStatus,
    /// When.
    at: Time,
    /// The energy so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    energy_kwh: Option<Kwh>,
    /// What the meter showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    register_kwh: Option<String>,
    /// What it costs so far, by the same formula as the bill; then the bill.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_yuan: Option<Yuan>,
}

/// A session while it happens
///
/// Server-sent events: first all that has happened, then what happens, each with its revision as id (`Last-Event-ID` goes on from there); ends once the session
/// is settled or it is certain that it will not start. In between, comments keep the connection alive.
#[utoipa::path(get, path = "/v1/sessions/{session_id}/live", operation_id = "liveSession", tag = "sessions",
    params(("session_id" = Uuid, Path, description = "Which."),
        ("Last-Event-ID" = Option<u64>, Header, description = "The last revision that has been seen.")),
    responses((status = 200, description = "A stream of messages, each one line of JSON like this.", body = LiveMessage, content_type = "text/event-stream")))]
async fn live(
    State(api): State<Arc<Api>>,
    Id(session_id): Id<SessionId>,
    headers: HeaderMap,
    asker: Asker,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, Problem> {
    let stream = StreamId::session(session_id);
    api.commands.owned("session", &stream, asker.operator_id()).await?;
    let seen = match headers.get("last-event-id") {
        None => None,
        Some(value) => {
            let revision = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
            Some(revision.ok_or_else(|| Problem::new(Kind::InvalidHeader, "Last-Event-ID is a revision"))?)
        }
    };
    let following = Following {
        // Watching begins before reading, so that nothing falls between the two.
        news: api.hub.watch(session_id),
        store: Arc::clone(api.commands.ledger.store()),
        stream,
        session: Session::default(),
        next: Revision(0),
        seen,
        waiting: VecDeque::new(),
        is_over: false,
    };
    let messages = stream::unfold(following, |mut following| async move { Some((Ok(following.message().await?), following)) });
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(api.limits.live_heartbeat)))
}

/// One client's way through a session.
struct Following {
    news: watch::Receiver<Position>,
    store: Arc<dyn EventStore>,
    stream: StreamId,
    session: Session,
    next: Revision,
    seen: Option<u64>,
    waiting: VecDeque<Message>,
    is_over: bool,
}

impl Following {
    /// The next message; none when there will be no more.
    async fn message(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            if self.is_over {
                return None;
            }
            let events = match self.store.read_stream(&self.stream, self.next, PAGE).await {
                Ok(events) => events,
                // The client comes back with the last id that it has seen.
                Err(error) => {
                    error!(%error, "a live session cannot be read");
                    return None;
                }
            };
            if events.is_empty() {
                self.news.changed().await.ok()?;
                continue;
            }
            for stored in events {
                let recorded = stored.decode().ok()?;
                self.next = recorded.revision.next();
                self.take(&recorded);
            }
        }
    }

    fn take(&mut self, recorded: &Recorded<Event>) {
        let Some(event) = Session::event(&recorded.event) else { return };
        self.session = std::mem::take(&mut self.session).evolve(event);
        let Some(status) = SessionStatus::of(&self.session) else { return };
        self.is_over = is_over(event, status);
        if self.seen.is_some_and(|seen| recorded.revision.0 <= seen) {
            return;
        }
        let happened = recorded.event.name().split_once('.').map(|(_, name)| name.to_owned()).unwrap_or_default();
        let at = recorded.metadata.occurred_at;
        let cost = self.session.cost_so_far(at).ok().flatten();
        let message = LiveMessage {
            revision: recorded.revision.0,
            happened: happened.clone(),
            status,
            at: Time(at),
            energy_kwh: energy(&self.session).map(Kwh),
            register_kwh: reading(event).map(|reading| reading.register.to_string()),
            cost_yuan: cost.map(|bill| Yuan(bill.total)),
        };
        let message = Message::default().id(recorded.revision.to_string()).event(happened).json_data(message);
        self.waiting.extend(message.ok());
    }
}

/// Nothing more is to come that a driver would wait for. A bill that is corrected after it was settled is found by looking again.
fn is_over(event: &SessionEvent, status: SessionStatus) -> bool {
    match event {
        SessionEvent::Refused { .. } | SessionEvent::StartTimedOut { .. } => true,
        _ => status == SessionStatus::Settled,
    }
}

fn energy(session: &Session) -> Option<domain::units::Energy> {
    match session {
        Session::Finished { basis, .. } | Session::Billed { basis, .. } => Some(basis.energy),
        _ => session.course().and_then(|course| course.points.last()).map(|point| point.energy),
    }
}

fn reading(event: &SessionEvent) -> Option<&MeterReading> {
    match event {
        SessionEvent::Started { meter, .. } => Some(meter),
        SessionEvent::MeterRead { reading, .. } | SessionEvent::MeterDisputed { reading, .. } => Some(reading),
        SessionEvent::Stopped { meter, .. } => meter.as_ref(),
        _ => None,
    }
}
