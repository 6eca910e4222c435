//! Real servers to play with, each with a ledger of what it saw: a helpdesk API to read from and a webhook
//! receiver to deliver to. `rapidbridge demo` and the integration tests judge the product by these ledgers,
//! so nothing here knows the engine, its store or its code for fetching, signing and delivering.
//!
//! Both servers listen on a free loopback port, live until they are dropped, and can be held, taken down and
//! scripted while they run.

mod answer;
pub mod helpdesk;
pub mod hostile;
pub mod program;
pub mod proxy;
pub mod receiver;
mod server;
mod switch;
mod watched;

pub use answer::Answer;
pub use helpdesk::Helpdesk;
pub use program::Program;
pub use proxy::Proxy;
pub use receiver::Receiver;
pub use watched::TimedOut;
