//! `rapidbridge integration lint`: what mappings leave out of their models, and what the models don't know. No server is asked.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use rapidbridge::definition::unified::{What, findings, layered};
use rapidbridge::definition::{Integration, Kind, UnifiedModel};

use crate::files;
use crate::paint::{BOLD, GREEN, RED, YELLOW};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Files (YAML or JSON) or folders with integrations, and unified models that change them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// The exit code is 1 when a mapping has what its model doesn't know.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let documents = files::read(&options.paths, "")?;
    let models = UnifiedModel::all(documents.iter());
    let (mut integrations, mut wrong) = (0, 0);
    for document in documents.iter().filter(|document| document.kind == Kind::Integration) {
        integrations += 1;
        let laid = layered(document, &documents, None);
        let Ok(integration) = Integration::from_document(laid.as_ref().unwrap_or(document)) else {
            bail!(
                "the mappings of {:?} don't fit when they are laid over each other; run validate",
                document.id
            );
        };
        anstream::println!("{BOLD}{}{BOLD:#}", document.id);
        let found = findings(&integration, &models);
        for (resource, methods) in &integration.unified {
            for method in methods.keys() {
                let own: Vec<_> =
                    found.iter().filter(|it| it.resource == *resource && it.method == *method).collect();
                if own.is_empty() {
                    anstream::println!("  {GREEN}✓{GREEN:#} {resource}.{method}");
                }
                for finding in own {
                    let is_wrong = match finding.what {
                        What::Unmapped(_) | What::UnmappedFilters(_) | What::Opaque => false,
                        What::UnknownModel | What::UnknownResource | What::NotInModel(_) => true,
                    };
                    wrong += usize::from(is_wrong);
                    let (mark, color) = if is_wrong { ("✗", RED) } else { ("!", YELLOW) };
                    anstream::println!("  {color}{mark}{color:#} {finding}");
                }
            }
        }
        if integration.unified.is_empty() {
            anstream::println!("  no unified mappings");
        }
    }
    if integrations == 0 {
        bail!("there is no integration in {}", files::paths_text(&options.paths));
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
