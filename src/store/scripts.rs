//! The scripts, each with the prelude before it. Their contracts stand in the Lua files.

use redis::Script;

macro_rules! scripts {
    ($($name:ident: $flags:literal,)*) => {
        /// All scripts. Redis keeps them by their hash; `redis::Script` sends one again when it was forgotten.
        #[derive(Debug)]
        pub(super) struct Scripts {
            $(pub(super) $name: Script,)*
        }

        impl Default for Scripts {
            fn default() -> Self {
                let prelude = include_str!("lua/prelude.lua");
                Self {
                    $($name: Script::new(&format!(
                        "#!lua flags={}\n{prelude}\n{}", $flags, include_str!(concat!("lua/", stringify!($name), ".lua"))
                    )),)*
                }
            }
        }
    };
}

// What Redis does with each when its memory is full. `allow-oom`: it finishes work or frees memory, and goes on. Without:
// it brings new work, and is refused as a whole, before its first write. One that
// only reads (`no-writes`) is never refused.
scripts! {
    alone: "allow-oom",
    apply: "",
    audit: "allow-oom",
    claim: "",
    close_gate: "allow-oom",
    enqueue: "",
    finish: "allow-oom",
    fire: "",
    give_back: "allow-oom",
    give_up: "allow-oom",
    park: "allow-oom",
    prune: "allow-oom",
    reconcile: "allow-oom",
    release: "allow-oom",
    renew: "allow-oom",
    resume: "",
    save: "allow-oom",
    schedule: "",
    set_aside: "allow-oom",
    snapshot: "no-writes",
    stop: "allow-oom",
    tend: "allow-oom",
}
