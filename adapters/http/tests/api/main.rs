//! The API over real HTTP on the memory engine: the test plays the client, the gateway and the payment channel.

mod devices;
mod estate;
mod harness;
mod keys;
mod live;
mod malformed;
mod ownership;
mod payments;
mod people;
mod rebuilds;
mod sessions;
