//! What the engine can do on this machine, beside the bounds that explain it, as plain figures. Printing is somebody else's.

mod append;
mod replay;

pub use append::{AppendBench, AppendFigures, Figures, append};
pub use replay::{ReplayFigures, replay};
