//! The stand-in's three services, without generated code: a path, a codec, a function.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::{self, StreamExt as _};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::body::BoxBody;
use tonic::codec::Streaming;
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Request, Response, Status};
use tower::service_fn;

use super::codec::Messages;
use super::log::{Believed, Proposal, Record};
use super::proto::{
    AppendReq, AppendResp, ClusterInfo, Empty, EndPoint, MemberInfo, Position, ReadReq, ReadResp, StreamIdentifier, SupportedMethods, Uuid,
    append_req, append_resp, read_req, read_resp, uuid as wire_uuid,
};
use super::{Faults, Node};

const APPEND_BYTES_MAX: usize = 1 << 20;
const FOLLOWER: i32 = 6;
const LEADER: i32 = 8;

pub(super) async fn serve(node: Node, mut accepted: mpsc::Receiver<DuplexStream>) {
    let incoming = stream::poll_fn(move |context| accepted.poll_recv(context)).map(Ok::<_, std::io::Error>);
    let served = tonic::transport::Server::builder()
        .add_service(Streams(node.clone()))
        .add_service(Gossip(node.clone()))
        .add_service(ServerFeatures(node))
        .serve_with_incoming(incoming);
    // It ends with the test.
    let _ = served.await;
}

macro_rules! services {
    ($($name:ident $path:literal;)*) => {$(
        #[derive(Debug, Clone)]
        struct $name(Node);

        impl NamedService for $name {
            const NAME: &'static str = $path;
        }

        impl<B> Service<http::Request<B>> for $name
        where
            B: Body + Send + 'static,
            B::Error: Into<StdError> + Send + 'static,
        {
            type Response = http::Response<BoxBody>;
            type Error = Infallible;
            type Future = BoxFuture<Self::Response, Infallible>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<B>) -> Self::Future {
                Box::pin(route(self.0.clone(), request))
            }
        }
    )*};
}

services! {
    Streams "event_store.client.streams.Streams";
    Gossip "event_store.client.gossip.Gossip";
    ServerFeatures "event_store.client.server_features.ServerFeatures";
}

async fn route<B>(node: Node, request: http::Request<B>) -> Result<http::Response<BoxBody>, Infallible>
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    let path = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let service = request.uri().path().to_owned();
    Ok(match path.as_str() {
        "Append" => {
            let append = service_fn(move |request| append(node.clone(), request));
            Grpc::new(Messages::<AppendResp, AppendReq>::default()).client_streaming(append, request).await
        }
        "Read" if service.contains("Streams") => {
            let read = service_fn(move |request| read(node.clone(), request));
            Grpc::new(Messages::<ReadResp, ReadReq>::default()).server_streaming(read, request).await
        }
        "Read" => {
            let gossip = service_fn(move |_: Request<Empty>| {
                let info = members(&node);
                async move { Ok::<_, Status>(Response::new(info)) }
            });
            Grpc::new(Messages::<ClusterInfo, Empty>::default()).unary(gossip, request).await
        }
        "GetSupportedMethods" => {
            let methods = service_fn(|_: Request<Empty>| async {
                Ok::<_, Status>(Response::new(SupportedMethods { methods: Vec::new(), version: "23.10.0".to_owned() }))
            });
            Grpc::new(Messages::<SupportedMethods, Empty>::default()).unary(methods, request).await
        }
        other => {
            node.cluster.faults.sin(format!("{other} was called"));
            Status::unimplemented(other).into_http()
        }
    })
}

fn members(node: &Node) -> ClusterInfo {
    let (leader, alive) = (node.cluster.leader.load(Ordering::SeqCst), node.cluster.alive.lock().unwrap().clone());
    let addresses = node.cluster.addresses.lock().unwrap().clone();
    let member = |(number, address): (usize, &std::net::SocketAddr)| MemberInfo {
        instance_id: Some(id(uuid::Uuid::from_u128(number as u128 + 1))),
        time_stamp: 0,
        state: if number == leader { LEADER } else { FOLLOWER },
        is_alive: alive[number],
        end_point: Some(EndPoint { address: address.ip().to_string(), port: address.port().into() }),
    };
    ClusterInfo { members: addresses.iter().enumerate().map(member).collect() }
}

fn id(id: uuid::Uuid) -> Uuid {
    Uuid { value: Some(wire_uuid::Value::Text(id.to_string())) }
}

/// Ids come in two forms.
fn known_id(id: &Uuid) -> Option<uuid::Uuid> {
    match id.value.as_ref()? {
        wire_uuid::Value::Text(text) => text.parse().ok(),
        wire_uuid::Value::Structured(halves) => Some(uuid::Uuid::from_u64_pair(halves.most.cast_unsigned(), halves.least.cast_unsigned())),
    }
}

/// What holds for every call on streams: accounts, deadlines, and that the leader is asked.
fn admit(node: &Node, metadata: &MetadataMap) -> Result<(), Status> {
    let faults = &node.cluster.faults;
    faults.calls.fetch_add(1, Ordering::SeqCst);
    if !metadata.contains_key("grpc-timeout") {
        faults.sin("a call without a deadline");
    }
    let text = |key: &str| metadata.get(key).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if text("requires-leader").as_deref() != Some("true") {
        faults.sin("a call to whoever it may be");
    }
    let account = faults.account.lock().unwrap().clone();
    if account.is_some() && account != text("authorization") {
        return Err(Status::unauthenticated("who are you?"));
    }
    let leader = node.cluster.leader.load(Ordering::SeqCst);
    if leader == node.number {
        return Ok(());
    }
    if !node.cluster.alive.lock().unwrap()[leader] {
        return Err(Status::unavailable("Server Is Not Ready"));
    }
    let address = node.cluster.addresses.lock().unwrap()[leader];
    let mut status = Status::new(Code::NotFound, "Leader info available");
    let metadata = status.metadata_mut();
    metadata.insert("exception", "not-leader".parse().unwrap());
    metadata.insert("leader-endpoint-host", address.ip().to_string().parse().unwrap());
    metadata.insert("leader-endpoint-port", address.port().to_string().parse().unwrap());
    Err(status)
}

async fn append(node: Node, request: Request<Streaming<AppendReq>>) -> Result<Response<AppendResp>, Status> {
    admit(&node, request.metadata())?;
    let cluster = node.cluster.clone();
    let faults = &cluster.faults;
    faults.appends.fetch_add(1, Ordering::SeqCst);
    if Faults::takes(&faults.busy) {
        return Err(Status::unavailable("Server Is Too Busy"));
    }
    let mut messages = request.into_inner();
    let Some(AppendReq { content: Some(append_req::Content::Options(options)) }) = messages.message().await? else {
        return Err(Status::invalid_argument("options come first"));
    };
    let stream = String::from_utf8(options.stream.unwrap_or_default().name).map_err(|_| Status::invalid_argument("a stream's name"))?;
    if faults.read_only.lock().unwrap().as_ref() == Some(&stream) {
        return Err(Status::permission_denied("Access Denied"));
    }
    let believed = match options.expected {
        Some(append_req::Expected::NoStream(_)) => Believed::NoStream,
        Some(append_req::Expected::Revision(revision)) => Believed::Revision(revision),
        _ => {
            faults.sin("an append that expects nothing");
            Believed::Anything
        }
    };
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(AppendReq { content }) = messages.message().await? {
        let Some(append_req::Content::Proposed(event)) = content else { return Err(Status::invalid_argument("an event is wanted")) };
        let id = event.id.as_ref().and_then(known_id).ok_or_else(|| Status::invalid_argument("an id"))?;
        let Some(event_type) = event.metadata.get("type").filter(|_| event.metadata.contains_key("content-type")) else {
            return Err(Status::invalid_argument("Required Metadata Property 'type' is missing"));
        };
        bytes += event.data.len() + event.custom_metadata.len() + 2 * event_type.encode_utf16().count();
        events.push(Proposal { id, metadata: event.metadata, custom_metadata: event.custom_metadata, data: event.data });
    }
    if bytes > APPEND_BYTES_MAX {
        return Err(Status::invalid_argument(format!("Maximum Append Size of {APPEND_BYTES_MAX} Exceeded.")));
    }
    let landed = cluster.log.lock().unwrap().append(&stream, believed, events);
    cluster.changed.send_modify(|changes| *changes += 1);
    if Faults::takes(&faults.lose_answers) {
        node.wire.send_modify(|wire| wire.epoch += 1);
        return std::future::pending().await;
    }
    let outcome = match landed {
        Ok((revision, position)) => append_resp::Outcome::Success(append_resp::Success {
            revision: Some(append_resp::Revision::Current(revision)),
            place: Some(append_resp::Place::Position(Position { commit: position, prepare: position })),
        }),
        Err(actual) => append_resp::Outcome::Wrong(append_resp::Wrong {
            actual: Some(actual.map_or(append_resp::Actual::NoStream(Empty {}), append_resp::Actual::Revision)),
            believed: Some(match believed {
                Believed::NoStream => append_resp::Believed::NoStream(Empty {}),
                Believed::Revision(revision) => append_resp::Believed::Revision(revision),
                Believed::Anything => append_resp::Believed::Any(Empty {}),
            }),
        }),
    };
    Ok(Response::new(AppendResp { outcome: Some(outcome) }))
}

type Answers = Pin<Box<dyn Stream<Item = Result<ReadResp, Status>> + Send>>;

async fn read(node: Node, request: Request<ReadReq>) -> Result<Response<Answers>, Status> {
    admit(&node, request.metadata())?;
    let faults = &node.cluster.faults;
    let options = request.into_inner().options.ok_or_else(|| Status::invalid_argument("options"))?;
    let Some(read_req::Count::Events(count)) = options.count else {
        faults.sin("a subscription");
        return Err(Status::unimplemented("subscriptions"));
    };
    let (count, backwards) = (usize::try_from(count).unwrap_or(usize::MAX), options.direction == 1);
    let mut answers = match options.of {
        Some(read_req::Of::Stream(of)) => of_stream(&node, &of, count, backwards)?,
        Some(read_req::Of::All(of)) => of_all(&node, &of, count, backwards)?,
        None => return Err(Status::invalid_argument("what?")),
    };
    if Faults::takes(&faults.end_reads) {
        answers.truncate(answers.len() / 2);
    }
    if Faults::takes(&faults.odd_answers) {
        answers.insert(0, ReadResp { content: None });
    }
    Ok(Response::new(Box::pin(stream::iter(answers.into_iter().map(Ok)))))
}

fn of_stream(node: &Node, of: &read_req::StreamOptions, count: usize, backwards: bool) -> Result<Vec<ReadResp>, Status> {
    let name = of.stream.clone().unwrap_or_default();
    let text = String::from_utf8(name.name.clone()).map_err(|_| Status::invalid_argument("a stream's name"))?;
    let log = node.cluster.log.lock().unwrap();
    if log.stream(&text).next().is_none() {
        let not_found = read_resp::Content::NotFound(read_resp::NotFound { stream: Some(name) });
        return Ok(vec![ReadResp { content: Some(not_found) }]);
    }
    let is_old = node.cluster.faults.is_old.load(Ordering::SeqCst);
    let placed = |record: &Record| event(record, if is_old { u64::MAX } else { record.position });
    Ok(match (&of.revision, backwards) {
        (Some(read_req::Revision::At(from)), false) => {
            log.stream(&text).filter(|record| record.revision >= *from).take(count).map(placed).collect()
        }
        (Some(read_req::Revision::End(_)), true) => log.stream(&text).rev().take(count).map(placed).collect(),
        (Some(read_req::Revision::Start(_)), false) => log.stream(&text).take(count).map(placed).collect(),
        _ => return Err(Status::invalid_argument("another way of reading a stream")),
    })
}

fn of_all(node: &Node, of: &read_req::AllOptions, count: usize, backwards: bool) -> Result<Vec<ReadResp>, Status> {
    let log = node.cluster.log.lock().unwrap();
    let place = match &of.place {
        Some(read_req::Place::Start(_)) | None => 0,
        Some(read_req::Place::End(_)) => u64::MAX,
        Some(read_req::Place::At(at)) => {
            // A real server reads garbage there, and fails or falls silent.
            if at.commit != at.prepare || !log.is_a_place(at.commit) {
                node.cluster.faults.sin(format!("a read from {}/{}, where nothing is", at.commit, at.prepare));
                return Err(Status::unknown("Unexpected ReadAllResult: Error"));
            }
            at.commit
        }
    };
    let placed = |record: &Record| event(record, record.position);
    Ok(match backwards {
        false => log.records.iter().filter(|record| record.position >= place).take(count).map(placed).collect(),
        true => log.records.iter().rev().filter(|record| record.position < place).take(count).map(placed).collect(),
    })
}

fn event(record: &Record, position: u64) -> ReadResp {
    let mut metadata = record.metadata.clone();
    metadata.insert("created".to_owned(), "16000000000000000".to_owned());
    let recorded = read_resp::RecordedEvent {
        id: Some(id(record.id)),
        stream: Some(StreamIdentifier { name: record.stream.clone().into_bytes() }),
        revision: record.revision,
        prepare: position,
        commit: position,
        metadata,
        custom_metadata: record.custom_metadata.clone(),
        data: record.data.clone(),
    };
    ReadResp { content: Some(read_resp::Content::Event(read_resp::ReadEvent { event: Some(recorded), commit: Some(position) })) }
}
