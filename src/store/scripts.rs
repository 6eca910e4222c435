//! The scripts, each with the prelude before it. Their contracts stand in the Lua files.

use redis::Script;

macro_rules! scripts {
    ($($name:ident,)*) => {
        /// All scripts. Redis keeps them by their hash; `redis::Script` sends one again when it was forgotten.
        #[derive(Debug)]
        pub(super) struct Scripts {
            $(pub(super) $name: Script,)*
        }

        impl Default for Scripts {
            fn default() -> Self {
                let prelude = include_str!("lua/prelude.lua");
                Self {
                    $($name: Script::new(&format!("{prelude}\n{}", include_str!(concat!("lua/", stringify!($name), ".lua")))),)*
                }
            }
        }
    };
}

scripts! {
    alone,
    apply,
    claim,
    close_gate,
    enqueue,
    finish,
    fire,
    give_back,
    give_up,
    park,
    prune,
    reconcile,
    release,
    renew,
    resume,
    save,
    schedule,
    stop,
    tend,
}
