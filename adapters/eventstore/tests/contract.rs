//! The store keeps the port's contract, on the stand-in and, when `CHARGELEDGER_TEST_ESDB` names one, on a real server.

mod server;
mod standin;

use domain::testing::event_store::contract;
use server::fresh;

contract!(fresh().await);
domain::testing::recorded::contract!(fresh().await);
