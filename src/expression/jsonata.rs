//! The one evaluator there is: `jsonata-core`, in its limits, with our functions, clock and chance.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError, EvaluatorOptions};
use jsonata_core::parser;
use jsonata_core::value::{JValue, with_stack};

use super::functions::{Args, FUNCTIONS, Function};
use super::names::Names;
use super::reads::Reads;
use super::world::State;
use super::{
    DEPTH_MAX, Evaluate, EvaluationError, ExpressionError, INPUT_BYTES_MAX, ITEMS_MAX, SOURCE_BYTES_MAX,
    TIME_MAX, World,
};
use super::{guard, names, output, place, prelude, regex, wording};
use crate::json::Json;
use crate::nearest::nearest;

/// JSONata's own functions under the names by which the prelude calls them.
const BEHIND: [(&str, &str); 4] = [
    (" builtinPad", "pad"),
    (" builtinSplit", "split"),
    (" builtinMatch", "match"),
    (" builtinReplace", "replace"),
];

/// A parsed expression, made ready.
pub(super) struct Program {
    ast: AstNode,
    /// What it, or what stands before it, mentions as `$name`.
    mentioned: BTreeSet<String>,
    functions: Vec<&'static Function>,
    reads: Reads,
}

impl Program {
    pub(super) fn parse(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > SOURCE_BYTES_MAX {
            let message = format!(
                "the expression is longer than {SOURCE_BYTES_MAX} bytes; split it over several nodes"
            );
            return Err(ExpressionError { message, at: None });
        }
        // Parsing nests as deep as the text does; a worker's thread has 2 MiB.
        let ast = with_stack(|| parser::parse(source)).map_err(|error| ExpressionError {
            message: wording::of_mistake(&error),
            at: place::of_error(source, &error),
        })?;
        let mut mentioned = {
            let names = Names::of(&ast);
            if let Some(unknown) = names.unknown() {
                return Err(unknown_function(source, unknown));
            }
            names.mentioned.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>()
        };
        regex::check(source, &ast)?;
        let reads = Reads::of(&ast);
        let mut ast = ast;
        if guard::is_needed(&ast) {
            guard::put_into(&mut ast);
            mentioned.extend([guard::WEIGH, guard::SPEND, guard::STEP].map(str::to_owned));
        }
        let mut nodes = prelude::needed(&mut mentioned);
        if !nodes.is_empty() {
            nodes.push(ast);
            ast = AstNode::Block(nodes);
        }
        let all = FUNCTIONS.iter().copied().flatten();
        let functions = all.filter(|function| mentioned.contains(function.name)).collect();
        Ok(Self { ast, mentioned, functions, reads })
    }

    fn evaluator(&self, world: &World) -> Result<Evaluator, EvaluatorError> {
        let options = EvaluatorOptions {
            timeout_ms: u64::try_from(TIME_MAX.as_millis()).ok(),
            max_stack_depth: Some(DEPTH_MAX),
            max_sequence_length: Some(ITEMS_MAX),
            ..EvaluatorOptions::default()
        };
        let mut context = Context::new();
        for (name, builtin) in BEHIND {
            if self.mentioned.contains(name) {
                context.bind(name.to_owned(), JValue::builtin(builtin));
            }
        }
        let mut evaluator = Evaluator::with_options(context, options);
        for function in &self.functions {
            let function = *function;
            evaluator.register_fn(function.name, move |args: &[JValue]| Args::call(function, args))?;
        }
        self.register_world(&mut evaluator, &Rc::new(State::new(*world)))?;
        Ok(evaluator)
    }

    /// The functions that see what one evaluation keeps.
    fn register_world(&self, evaluator: &mut Evaluator, state: &Rc<State>) -> Result<(), EvaluatorError> {
        type Call = fn(&State, &[JValue]) -> Result<JValue, EvaluatorError>;
        let calls: [(&str, Call); 10] = [
            ("now", State::now),
            ("millis", |state, _| Ok(state.millis())),
            ("toMillis", State::to_millis),
            ("random", |state, _| Ok(state.random())),
            ("shuffle", State::shuffle),
            ("uuid", |state, _| Ok(state.uuid())),
            (guard::WEIGH, |_, args| guard::weigh(args.first().unwrap_or(&JValue::Undefined))),
            (guard::SPEND, |state, args| guard::spend(args.first().unwrap_or(&JValue::Undefined), state)),
            (guard::STEP, |state, args| {
                guard::spend_whole(args.first().unwrap_or(&JValue::Undefined), state)
            }),
            (" spend", |state, args| guard::spend(args.first().unwrap_or(&JValue::Undefined), state)),
        ];
        for (name, call) in calls {
            if self.mentioned.contains(name) {
                let state = Rc::clone(state);
                evaluator.register_fn_override(name, move |args: &[JValue]| call(&state, args))?;
            }
        }
        Ok(())
    }

    fn compute(&self, input: &Json, world: &World) -> Result<Option<Json>, String> {
        let value = self.value(input, world)?;
        if value.is_undefined() {
            return Ok(None);
        }
        if value.is_function() {
            return Err("the expression's value is a function, and no data; call it".to_owned());
        }
        let text = output::json(&value)?;
        Json::parse(&text).map(Some).map_err(|error| error.to_string())
    }

    fn value(&self, input: &Json, world: &World) -> Result<JValue, String> {
        if input.as_str().len() > INPUT_BYTES_MAX {
            return Err(format!("the expression's input is longer than {INPUT_BYTES_MAX} bytes"));
        }
        let input = JValue::from_json_str(input.as_str())
            .map_err(|error| format!("the expression's input can't be read: {error}"))?;
        let mut evaluator = self.evaluator(world).map_err(|error| wording::of_failure(&error))?;
        evaluator.evaluate(&self.ast, &input).map_err(|error| wording::of_failure(&error))
    }
}

impl Evaluate for Program {
    fn evaluate(&self, input: &Json, world: &World) -> Result<Option<Json>, EvaluationError> {
        // A fault of the library ends this evaluation, and not the worker's run.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.compute(input, world)));
        let outcome =
            outcome.unwrap_or_else(|_| Err("the expression met a fault of its evaluator".to_owned()));
        outcome.map_err(|message| EvaluationError { message })
    }

    fn reads(&self) -> &Reads {
        &self.reads
    }
}

fn unknown_function(source: &str, name: &str) -> ExpressionError {
    if name == "eval" {
        let message = "there is no $eval: what it would evaluate can't be checked beforehand".to_owned();
        return ExpressionError { message, at: place::of_variable(source, name) };
    }
    let hint = match nearest(name, names::all()) {
        Some(near) => format!("; did you mean ${near}?"),
        None => "; docs/expressions.md lists them".to_owned(),
    };
    let message = format!("there is no function ${name}{hint}");
    ExpressionError { message, at: place::of_variable(source, name) }
}
