//! The API over real HTTP on the memory engine: the test plays the client, the gateway and the payment channel.

mod devices;
mod harness;
mod malformed;
mod payments;
mod sessions;
