//! The feed: every event of the log in a stream of NATS JetStream.
//!
//! | module | what |
//! |---|---|
//! | [`wire`] | an event as a message, and back |
//! | [`connect`], [`Credentials`], [`stream`] | the server, who comes to it, and the stream, made and checked |
//! | [`publisher`], [`publish`], `place` | the role that publishes; one stretch of publishing; where it goes on |
//! | [`progress`] | how far it is |
//! | [`reconcile`], [`again`] | the stream compared with the log, holes filled; the stream made again |
//! | [`notices`] | the receiver of what goes out of the read model of notices |
//! | [`subscribe`], [`walk`] | for consumers: each event once; the stream in its order |
//!
//! The log is the truth and the stream is not: it can be deleted and made again. Nothing here reads what an event says.

pub mod again;
pub mod bench;
pub mod connect;
mod credentials;
mod error;
pub mod notices;
mod place;
pub mod progress;
pub mod publish;
pub mod publisher;
pub mod reconcile;
pub mod stream;
pub mod subscribe;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod walk;
pub mod wire;

pub use connect::Nats;
pub use credentials::Credentials;
pub use error::FeedError;
pub use publish::Window;
pub use publisher::Publisher;
pub use stream::{FeedStream, StreamSettings};
