//! Values written in one of the two languages: text with placeholders, and expressions. What is wrong in them is shown
//! at its character.

use serde_json::Value;

use super::Spot;
use crate::expression::Expression;
use crate::json::Json;
use crate::template::{Template, TemplateError, Tree};

impl Spot<'_> {
    /// Text with placeholders.
    pub(in crate::definition) fn template(&self) -> Option<Template> {
        match Template::parse(&self.loose_text()?) {
            Ok(template) => Some(template),
            Err(error) => {
                self.template_problem(&[], &error);
                None
            }
        }
    }

    /// A value of any type whose strings have placeholders.
    pub(in crate::definition) fn tree(&self) -> Option<Tree> {
        match Tree::from_json(&Json::of(self.value)) {
            Ok(tree) => Some(tree),
            Err(errors) => {
                errors.iter().for_each(|found| self.template_problem(&found.path, &found.error));
                None
            }
        }
    }

    /// An object whose strings have placeholders.
    pub(in crate::definition) fn object_tree(&self) -> Option<Tree> {
        if !self.value.is_object() {
            self.wrong_type("an object");
            return None;
        }
        self.tree()
    }

    fn template_problem(&self, steps: &[String], error: &TemplateError) {
        let (path, value) = self.below(steps);
        let (message, hint) = (&*error.message, error.hint.as_deref());
        match value.and_then(Value::as_str) {
            Some(text) => {
                let at = text.char_indices().nth(error.column.saturating_sub(1));
                let at = at.map_or(text.len(), |(at, _)| at);
                self.checker.add_within(&path, text, at, message, hint);
            }
            None => self.problem_at(steps, message, hint),
        }
    }

    /// A JSONata expression; `true` and `false` are such, too.
    pub(in crate::definition) fn expression(&self) -> Option<Expression> {
        let text = match self.value {
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                self.filled()?
            }
        };
        let error = match Expression::parse(text) {
            Ok(expression) => return Some(expression),
            Err(error) => error,
        };
        let braces = text.trim_start().starts_with("{{");
        let hint =
            braces.then_some("this is an expression, not a text with placeholders: args.x, not {{args.x}}");
        let message = format!("this is no expression: {}", error.message);
        match error.at {
            Some(at) => self.checker.add_within(&self.path, text, at, &message, hint),
            None => self.problem(&message, hint),
        }
        None
    }
}
