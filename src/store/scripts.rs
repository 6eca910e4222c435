//! The scripts, each with the prelude before it. Their contracts stand in the Lua files.

use redis::Script;

macro_rules! scripts {
    ($($name:ident in $file:literal: $flags:literal,)*) => {
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
    alone in "alone": "allow-oom",
    announce_end in "announce_end": "allow-oom",
    announce_take in "announce_take": "allow-oom",
    apply in "apply": "",
    audit in "audit": "allow-oom",
    claim in "claim": "",
    claim_begun in "claim": "allow-oom",
    close_gate in "close_gate": "allow-oom",
    enqueue in "enqueue": "",
    errands in "errands": "allow-oom",
    finish in "finish": "allow-oom",
    fire in "fire": "",
    forget_account in "forget_account": "allow-oom",
    forget_contents in "forget_contents": "allow-oom",
    give_back in "give_back": "allow-oom",
    give_up in "give_up": "allow-oom",
    grant in "grant": "allow-oom",
    group in "group": "allow-oom",
    held_by in "held_by": "no-writes",
    hold in "hold": "allow-oom",
    list_cells in "list_cells": "no-writes",
    lock_ask in "lock_ask": "allow-oom",
    lock_free in "lock_free": "allow-oom",
    lock_restore in "lock_restore": "allow-oom",
    park in "park": "allow-oom",
    pass_gate in "pass_gate": "allow-oom",
    prune in "prune": "allow-oom",
    recall in "recall": "allow-oom",
    reconcile in "reconcile": "allow-oom",
    release in "release": "allow-oom",
    remember in "write_cell": "allow-oom",
    renew in "renew": "allow-oom",
    resume in "resume": "",
    save in "save": "allow-oom",
    schedule in "schedule": "",
    set_aside in "set_aside": "allow-oom",
    snapshot in "snapshot": "no-writes",
    spend in "spend": "allow-oom",
    stop in "stop": "allow-oom",
    tend in "tend": "allow-oom",
    token_begin in "token_begin": "allow-oom",
    token_end in "token_end": "allow-oom",
    token_seal in "token_seal": "allow-oom",
    write_cell in "write_cell": "",
}
