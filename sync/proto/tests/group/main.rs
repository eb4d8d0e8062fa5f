//! Groups of nodes: what holds among them whatever is lost, delayed or cut.

mod bulk;
mod flaws;
mod hostile;
mod laws;
mod packets;
mod random;
mod simulation;
mod world;
