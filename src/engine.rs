//! The engine: a run as a state machine without I/O, and the driver that performs what it asks for.

pub mod seam;
