//! A database of its own for a test, on the server that CHARGELEDGER_TEST_DATABASE_URL names.

use uuid::Uuid;

/// Dropped with this.
pub(crate) struct Database {
    pub(crate) server: String,
    pub(crate) name: String,
}

impl Database {
    /// A name for one; nobody has made it yet. Without a server: loudly skipped on a laptop, a failure in CI.
    pub(crate) fn new() -> Option<Database> {
        let Ok(server) = std::env::var("CHARGELEDGER_TEST_DATABASE_URL") else {
            assert!(std::env::var("CI").is_err(), "CHARGELEDGER_TEST_DATABASE_URL is not set");
            eprintln!("SKIPPED: CHARGELEDGER_TEST_DATABASE_URL is not set, so nothing was tested on PostgreSQL");
            return None;
        };
        Some(Database { server, name: format!("chargeledger_test_{}", Uuid::now_v7().simple()) })
    }

    /// The server's URL with this database.
    pub(crate) fn url(&self) -> String {
        let (server, options) =
            self.server.split_once('?').map_or((&*self.server, String::new()), |(server, options)| (server, format!("?{options}")));
        let host = server.find("://").map_or(0, |at| at + 3);
        let server = server[host..].find('/').map_or(server, |at| &server[..host + at]);
        format!("{server}/{}{options}", self.name)
    }
}

pub(crate) async fn drop_database(server: &str, name: &str) {
    let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
    connection.abort();
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // In a thread of its own: a test may drop it inside a runtime.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(drop_database(&server, &name));
        });
        let dropped = dropping.join();
        // A test that has failed already says why.
        if !std::thread::panicking() {
            dropped.unwrap();
        }
    }
}
