//! A stand-in of EventStoreDB, for tests: its public protocol over gRPC, on this machine's network, with the faults of a real one on command.
//!
//! Written from the protocol's own files (streams, gossip, server features) and from what its server does with an append. It keeps nothing, and is no server for
//! anything else.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::result_large_err)]

mod codec;
pub mod log;
mod proto;
mod service;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use log::Log;

/// What goes wrong, on command, and what was asked.
#[derive(Debug, Default)]
pub struct Faults {
    /// So many appends are carried out, and their answers lost with the connection.
    pub lose_answers: AtomicU32,
    /// So many appends are answered «too busy» and not carried out.
    pub busy: AtomicU32,
    /// So many reads end politely after half of what they were to give.
    pub end_reads: AtomicU32,
    /// So many reads give an answer that the client does not understand.
    pub odd_answers: AtomicU32,
    /// Reads of a stream do not say where in the log its events are, as servers before 22.6.
    pub is_old: AtomicBool,
    /// Accounts are wanted: «Basic …», as it has to be.
    pub account: Mutex<Option<String>>,
    /// The account may not write this stream.
    pub read_only: Mutex<Option<String>>,
    /// Appends carried out or refused.
    pub appends: AtomicUsize,
    /// Calls of any kind.
    pub calls: AtomicUsize,
    /// What a careful client never does: a call without a deadline, a read from a place that is none, an append without the leader, a batch append, a subscription.
    pub sins: Mutex<Vec<String>>,
}

impl Faults {
    fn takes(counter: &AtomicU32) -> bool {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn sin(&self, what: impl Into<String>) {
        self.sins.lock().unwrap().push(what.into());
    }
}

/// What the nodes of a cluster share.
#[derive(Debug)]
pub struct Cluster {
    pub log: Mutex<Log>,
    pub changed: watch::Sender<u64>,
    pub faults: Faults,
    leader: AtomicUsize,
    addresses: Mutex<Vec<SocketAddr>>,
    alive: Mutex<Vec<bool>>,
}

/// One node, as its services see it.
#[derive(Debug, Clone)]
struct Node {
    cluster: Arc<Cluster>,
    number: usize,
    wire: watch::Sender<Wire>,
}

/// What its connections do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wire {
    /// Those of an older number are cut.
    epoch: u64,
    /// Nothing passes, and nobody is told.
    is_silent: bool,
}

/// A server, or a cluster, that runs until this is dropped.
pub struct StandIn {
    pub cluster: Arc<Cluster>,
    nodes: Vec<(Node, Vec<JoinHandle<()>>)>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        for (node, tasks) in &self.nodes {
            tasks.iter().for_each(JoinHandle::abort);
            node.wire.send_modify(|wire| wire.epoch += 1);
        }
    }
}

impl StandIn {
    /// One node.
    pub async fn start() -> StandIn {
        StandIn::cluster(1).await
    }

    /// So many nodes with one log, the first of which leads.
    pub async fn cluster(nodes: usize) -> StandIn {
        let cluster = Arc::new(Cluster {
            log: Mutex::default(),
            changed: watch::Sender::new(0),
            faults: Faults::default(),
            leader: AtomicUsize::new(0),
            addresses: Mutex::default(),
            alive: Mutex::new(vec![true; nodes]),
        });
        let mut stand_in = StandIn { cluster: cluster.clone(), nodes: Vec::new() };
        for number in 0..nodes {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            cluster.addresses.lock().unwrap().push(listener.local_addr().unwrap());
            let node = Node { cluster: cluster.clone(), number, wire: watch::Sender::new(Wire::default()) };
            let tasks = run(node.clone(), listener);
            stand_in.nodes.push((node, tasks));
        }
        stand_in
    }

    /// What a client is told.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.cluster.addresses.lock().unwrap().iter().map(ToString::to_string).collect();
        format!("esdb://{}?tls=false&discoveryInterval=20&gossipTimeout=500", hosts.join(","))
    }

    pub fn faults(&self) -> &Faults {
        &self.cluster.faults
    }

    /// Another node leads from now on.
    pub fn lead(&self, number: usize) {
        self.cluster.leader.store(number, Ordering::SeqCst);
    }

    /// The node is gone: nobody listens any more, and its connections are cut.
    pub fn kill(&self, number: usize) {
        self.cluster.alive.lock().unwrap()[number] = false;
        let (node, tasks) = &self.nodes[number];
        tasks.iter().for_each(JoinHandle::abort);
        node.wire.send_modify(|wire| wire.epoch += 1);
    }

    /// Every connection is cut; new ones are taken.
    pub fn drop_connections(&self) {
        self.nodes.iter().for_each(|(node, _)| node.wire.send_modify(|wire| wire.epoch += 1));
    }

    /// Nothing passes any more, in neither direction, and connections stay open.
    pub fn be_silent(&self, is_silent: bool) {
        self.nodes.iter().for_each(|(node, _)| node.wire.send_modify(|wire| wire.is_silent = is_silent));
    }

    /// What a careful client never does was not done.
    pub fn assert_no_sins(&self) {
        assert_eq!(*self.faults().sins.lock().unwrap(), Vec::<String>::new());
    }
}

fn run(node: Node, listener: TcpListener) -> Vec<JoinHandle<()>> {
    let (inner, accepted) = mpsc::channel::<DuplexStream>(16);
    let wire = node.wire.clone();
    let accepting = tokio::spawn(async move {
        while let Ok((outside, _)) = listener.accept().await {
            let (inside, end) = tokio::io::duplex(1 << 16);
            tokio::spawn(carry(outside, inside, wire.subscribe()));
            if inner.send(end).await.is_err() {
                return;
            }
        }
    });
    vec![accepting, tokio::spawn(service::serve(node, accepted))]
}

/// Carries bytes until the connection is cut.
async fn carry(outside: TcpStream, inside: DuplexStream, mut wire: watch::Receiver<Wire>) {
    let epoch = wire.borrow().epoch;
    let ((from_client, to_client), (from_server, to_server)) = (outside.into_split(), tokio::io::split(inside));
    let there = pass(from_client, to_server, wire.clone());
    let back = pass(from_server, to_client, wire.clone());
    tokio::select! {
        _ = wire.wait_for(|wire| wire.epoch != epoch) => {}
        () = there => {}
        () = back => {}
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut wire: watch::Receiver<Wire>) {
    let mut buffer = vec![0; 1 << 14];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if wire.wait_for(|wire| !wire.is_silent).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
