//! The sandbox payment channel and the simulated device gateway: they behave like the real ones and say that they are not.
