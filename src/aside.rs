//! Work that takes processor time, beside that of a runtime that waits for input and output.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does `work` on this thread, and lets the runtime's other tasks go to other threads meanwhile, where it has any.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
