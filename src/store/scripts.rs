//! The scripts, each with the prelude before it. Their contracts stand in the Lua files.

use redis::Script;

macro_rules! scripts {
    ($($name:ident: $flags:literal $file:literal,)*) => {
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
                        "#!lua flags={}\n{prelude}\n{}", $flags, include_str!(concat!("lua/", $file, ".lua"))
                    )),)*
                }
            }
        }
    };
}

// Each with its file, and with what Redis does with it when its memory is full. `allow-oom`: it finishes work or frees memory, and goes on. Without:
// it brings new work, and is refused as a whole, before its first write. One that
// only reads (`no-writes`) is never refused.
scripts! {
    alone: "allow-oom" "alone",
    apply: "" "apply",
    audit: "allow-oom" "audit",
    claim: "" "claim",
    close_gate: "allow-oom" "close_gate",
    enqueue: "" "enqueue",
    errands: "allow-oom" "errands",
    finish: "allow-oom" "finish",
    fire: "" "fire",
    forget_account: "allow-oom" "forget_account",
    give_back: "allow-oom" "give_back",
    give_up: "allow-oom" "give_up",
    grant: "allow-oom" "grant",
    held_by: "no-writes" "held_by",
    hold: "allow-oom" "hold",
    list_cells: "no-writes" "list_cells",
    lock_ask: "allow-oom" "lock_ask",
    lock_free: "allow-oom" "lock_free",
    lock_restore: "allow-oom" "lock_restore",
    park: "allow-oom" "park",
    prune: "allow-oom" "prune",
    recall: "allow-oom" "recall",
    reconcile: "allow-oom" "reconcile",
    release: "allow-oom" "release",
    remember: "allow-oom" "write_cell",
    renew: "allow-oom" "renew",
    resume: "" "resume",
    save: "allow-oom" "save",
    schedule: "" "schedule",
    set_aside: "allow-oom" "set_aside",
    snapshot: "no-writes" "snapshot",
    stop: "allow-oom" "stop",
    tend: "allow-oom" "tend",
    write_cell: "" "write_cell",
}
