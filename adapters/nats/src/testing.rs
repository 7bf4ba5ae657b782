//! Real `nats-server` processes for tests: one, or a cluster of three, on ports of their own, killed and started again as a test wants it.
//!
//! Deliberately absent: anything that is played. What a test says about NATS, NATS did.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{FeedError, FeedStream, Nats};

/// After this long something is wrong with the test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One server, or three that keep streams together. They end with this value, and what they kept goes with them.
#[derive(Debug)]
pub struct Servers {
    members: Vec<Member>,
    _directory: tempfile::TempDir,
}

#[derive(Debug)]
struct Member {
    port: u16,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Member {
    /// SIGKILL: no chance to write anything down.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn start(&mut self, program: &Path) {
        let log = std::fs::File::options().create(true).append(true).open(&self.log).expect("a log file");
        let child =
            Command::new(program).arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(log).spawn().expect("nats-server starts");
        self.child = Some(child);
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "nats-server does not listen: {}", std::fs::read_to_string(&self.log).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The program, if this machine has it. Debian keeps it where only root looks.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    places.map(|place| place.join("nats-server")).find(|program| program.is_file())
}

fn free_ports(count: usize) -> Vec<u16> {
    // All taken at once, so that they differ; free a moment ago, and nobody else asks for ports here.
    let taken: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    taken.iter().map(|listener| listener.local_addr().expect("an address").port()).collect()
}

impl Servers {
    /// This many servers, one or three. None, loudly, where the program is missing; in CI that is a failure.
    ///
    /// # Panics
    /// In CI without `nats-server`, and when it does not start.
    #[must_use]
    pub fn start(count: usize) -> Option<Servers> {
        Servers::with(count, "")
    }

    /// With more lines in each server's configuration.
    ///
    /// # Panics
    /// As [`Servers::start`].
    #[must_use]
    pub fn with(count: usize, settings: &str) -> Option<Servers> {
        let Some(program) = program() else {
            assert!(std::env::var_os("CI").is_none(), "nats-server is not installed");
            let _ = writeln!(std::io::stderr(), "SKIPPED: nats-server is not installed");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("chargeledger-nats-").tempdir().expect("a directory");
        let (clients, routes) = (free_ports(count), free_ports(count));
        let urls: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let members = clients.iter().zip(&routes).enumerate().map(|(index, (port, route))| {
            let home = directory.path().join(format!("n{index}"));
            std::fs::create_dir_all(&home).expect("a directory");
            let mut config = format!(
                "server_name: n{index}\nlisten: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\", max_file_store: 4GB, max_memory_store: 64MB }}\n{settings}\n",
                home.display()
            );
            if count > 1 {
                let _ = writeln!(config, "cluster {{ name: test, listen: 127.0.0.1:{route}, routes: [{}] }}", urls.join(", "));
            }
            let path = home.join("nats.conf");
            std::fs::write(&path, config).expect("a file");
            Member { port: *port, config: path, log: home.join("server.log"), child: None }
        });
        let mut servers = Servers { members: members.collect(), _directory: directory };
        for member in &mut servers.members {
            member.start(&program);
        }
        Some(servers)
    }

    /// Where they are, all of them.
    #[must_use]
    pub fn urls(&self) -> String {
        self.members.iter().map(|member| format!("nats://127.0.0.1:{}", member.port)).collect::<Vec<_>>().join(",")
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// SIGKILL.
    pub fn kill(&mut self, index: usize) {
        self.members[index].kill();
    }

    /// Starts one that was killed, on what it had kept.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self, index: usize) {
        self.kill(index);
        self.members[index].start(&program().expect("it was there before"));
    }

    /// The member of this name: `n0`, `n1`, …
    #[must_use]
    pub fn index(name: &str) -> Option<usize> {
        name.strip_prefix('n')?.parse().ok()
    }

    /// A connection, once JetStream answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn connect(&self) -> Nats {
        let began = Instant::now();
        loop {
            if let Ok(nats) = Nats::connect(&self.urls(), "test", None).await
                && nats.ask::<serde_json::Value>("INFO".to_owned(), &serde_json::json!({})).await.is_ok()
            {
                return nats;
            }
            assert!(began.elapsed() < PATIENCE, "JetStream does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl FeedStream {
    /// What every message says, in the order of arrival, where it says it in JSON.
    ///
    /// # Errors
    /// When NATS is away.
    pub async fn bodies(&self) -> Result<Vec<serde_json::Value>, FeedError> {
        let state = self.state().await?;
        let stream = self.nats.context.get_stream_no_info(self.name()).await.map_err(|error| FeedError::unavailable(&error))?;
        let mut bodies = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            if let Ok(message) = stream.get_raw_message(sequence).await {
                bodies.push(serde_json::from_slice(&message.payload).unwrap_or_default());
            }
        }
        Ok(bodies)
    }
}

/// Takes a message out of a stream, as an operator with the NATS tools would.
///
/// # Panics
/// When the server does not do it.
pub async fn delete_message(nats: &Nats, stream: &str, sequence: u64) {
    let deleted = nats.ask::<serde_json::Value>(format!("STREAM.MSG.DELETE.{stream}"), &serde_json::json!({ "seq": sequence })).await;
    deleted.expect("the message is deleted");
}

/// Waits for a condition.
///
/// # Panics
/// When it does not come about.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
