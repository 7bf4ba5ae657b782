//! A way to a real server that can be cut, and made silent.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// How the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Whoever comes is cut off, and so is who was there.
    Cut,
    /// Connections are taken, and nothing is ever said on them.
    Silent,
}

/// A way to the server of this URL, and the URL of the same database at its end.
pub async fn way_to(url: &str) -> (String, watch::Sender<Way>) {
    let real: Config = url.parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let through = at(&real, address);
    let (change, way) = watch::channel(Way::Open);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry(client, real.clone(), way.clone()));
        }
    });
    (through, change)
}

fn at(real: &Config, address: SocketAddr) -> String {
    let password = real.get_password().map(|password| format!(":{}", String::from_utf8_lossy(password))).unwrap_or_default();
    format!("postgresql://{}{password}@{address}/{}", real.get_user().unwrap_or("postgres"), real.get_dbname().unwrap())
}

async fn carry(mut client: TcpStream, real: Config, mut way: watch::Receiver<Way>) -> std::io::Result<()> {
    let is_open = *way.borrow_and_update() == Way::Open;
    if is_open {
        let port = real.get_ports().first().copied().unwrap_or(5432);
        let carrying = async {
            match &real.get_hosts()[0] {
                Host::Unix(directory) => {
                    let mut server = UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).await?;
                    copy_bidirectional(&mut client, &mut server).await
                }
                Host::Tcp(host) => {
                    let mut server = TcpStream::connect((host.as_str(), port)).await?;
                    copy_bidirectional(&mut client, &mut server).await
                }
            }
        };
        tokio::select! {
            carried = carrying => return carried.map(drop),
            _ = way.changed() => {}
        }
    }
    // What was silent once is not spoken on again.
    drop(way.wait_for(|way| *way != Way::Silent).await);
    Ok(())
}
