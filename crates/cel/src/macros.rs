//! Macros: loops, and what looks like a call and is none.

use crate::ast::{ACCUMULATOR, Expr, Fold, Literal, Node};
use crate::lex::Mistake;
use crate::parse::Maker;

type Made = Result<Expr, Mistake>;

/// A call of a function, or what stands for it.
///
/// # Errors
/// `has` is asked about something else than a field.
pub fn function(made: &mut Maker, place: usize, name: String, mut arguments: Vec<Expr>) -> Made {
    if name != "has" || arguments.len() != 1 {
        return Ok(made.call(place, &name, arguments));
    }
    let Some(only) = arguments.pop() else { return Ok(made.call(place, &name, arguments)) };
    let at = made.place(only.id);
    match only.node {
        Node::Select { operand, field, test: false } => {
            Ok(made.at(place, Node::Select { operand, field, test: true }))
        }
        _ => Err((at, "invalid argument to has() macro".into())),
    }
}

/// A call of a method, or the loop that stands for it.
///
/// # Errors
/// The variable of a loop is no name.
pub fn method(made: &mut Maker, place: usize, target: Expr, name: String, arguments: Vec<Expr>) -> Made {
    let count = arguments.len();
    let mut looped = Loop { made, place };
    match (name.as_str(), count) {
        ("all" | "exists" | "exists_one", 2 | 3) | ("existsOne", 3) => {
            looped.quantifier(&name, target, arguments)
        }
        ("map", 2 | 3) => looped.map(target, arguments, 1),
        ("transformList", 3 | 4) => looped.map(target, arguments, 2),
        ("filter", 2) => looped.filter(target, arguments),
        ("transformMap" | "transformMapEntry", 3 | 4) => looped.map_of(&name, target, arguments),
        ("sortBy", 2) => looped.sort_by(target, arguments),
        ("optMap" | "optFlatMap", 2) => looped.optional(&name, target, arguments),
        _ => {
            let target = Some(Box::new(target));
            Ok(made.at(place, Node::Call { function: name, target, arguments }))
        }
    }
}

struct Loop<'a> {
    made: &'a mut Maker,
    place: usize,
}

/// The names of one or two variables.
type Names = (String, Option<String>);

impl Loop<'_> {
    fn literal(&mut self, literal: Literal) -> Expr {
        self.made.at(self.place, Node::Literal(literal))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.made.at(self.place, Node::Ident(name.to_owned()))
    }

    fn result(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn call<const N: usize>(&mut self, function: &str, arguments: [Expr; N]) -> Expr {
        self.made.call(self.place, function, arguments.into())
    }

    fn list(&mut self, items: Vec<Expr>) -> Expr {
        self.made.at(self.place, Node::List(items.into_iter().map(|item| (item, false)).collect()))
    }

    fn variable(&self, expr: &Expr, why: &str) -> Result<String, Mistake> {
        match &expr.node {
            Node::Ident(name) if name == "__result__" => {
                let why = "iteration variable overwrites accumulator variable";
                Err((self.made.place(expr.id), why.into()))
            }
            Node::Ident(name) => Ok(name.clone()),
            _ => Err((self.made.place(expr.id), why.into())),
        }
    }

    /// The variables before what is worked out for each element.
    fn variables(&self, arguments: &[Expr], count: usize, why: &str) -> Result<Names, Mistake> {
        let first = self.variable(&arguments[0], why)?;
        if count == 1 {
            return Ok((first, None));
        }
        let second = self.variable(&arguments[1], why)?;
        if first == second {
            let why = format!("duplicate variable name: {first}");
            return Err((self.made.place(arguments[1].id), why));
        }
        Ok((first, Some(second)))
    }

    fn fold(&mut self, range: Expr, (variable, second): Names, parts: [Expr; 4]) -> Expr {
        let [initial, condition, step, result] = parts;
        let accumulator = ACCUMULATOR.to_owned();
        let fold = Fold { range, variable, second, accumulator, initial, condition, step, result };
        self.made.at(self.place, Node::Fold(Box::new(fold)))
    }

    /// The step where a condition holds, and nothing otherwise.
    fn only(&mut self, filter: Option<Expr>, step: Expr) -> Expr {
        let Some(filter) = filter else { return step };
        let unchanged = self.result();
        self.call("_?_:_", [filter, step, unchanged])
    }

    fn quantifier(&mut self, name: &str, range: Expr, mut arguments: Vec<Expr>) -> Made {
        let names = self.variables(&arguments, arguments.len() - 1, "argument must be a simple name")?;
        let Some(body) = arguments.pop() else { return Ok(range) };
        let (before, after) = (self.result(), self.result());
        let parts = match name {
            "all" => {
                let condition = self.call("@not_strictly_false", [before]);
                let before = self.result();
                let step = self.call("_&&_", [before, body]);
                [self.literal(Literal::Bool(true)), condition, step, after]
            }
            "exists" => {
                let not = self.call("!_", [before]);
                let condition = self.call("@not_strictly_false", [not]);
                let before = self.result();
                let step = self.call("_||_", [before, body]);
                [self.literal(Literal::Bool(false)), condition, step, after]
            }
            _ => {
                let one = self.literal(Literal::Int(1));
                let more = self.call("_+_", [before, one]);
                let step = self.only(Some(body), more);
                let one = self.literal(Literal::Int(1));
                let result = self.call("_==_", [after, one]);
                [self.literal(Literal::Int(0)), self.literal(Literal::Bool(true)), step, result]
            }
        };
        Ok(self.fold(range, names, parts))
    }

    /// A list of what is worked out for each element: the last argument, where the one before it holds.
    fn map(&mut self, range: Expr, mut arguments: Vec<Expr>, variables: usize) -> Made {
        let why =
            if variables == 1 { "argument is not an identifier" } else { "argument must be a simple name" };
        let names = self.variables(&arguments, variables, why)?;
        let Some(body) = arguments.pop() else { return Ok(range) };
        let filter = if arguments.len() > variables { arguments.pop() } else { None };
        let (before, made) = (self.result(), self.list(vec![body]));
        let step = self.call("_+_", [before, made]);
        let step = self.only(filter, step);
        let parts = [self.list(Vec::new()), self.literal(Literal::Bool(true)), step, self.result()];
        Ok(self.fold(range, names, parts))
    }

    fn filter(&mut self, range: Expr, mut arguments: Vec<Expr>) -> Made {
        let names = self.variables(&arguments, 1, "argument is not an identifier")?;
        let (filter, element) = (arguments.pop(), arguments.pop());
        let (before, made) = (self.result(), self.list(element.into_iter().collect()));
        let step = self.call("_+_", [before, made]);
        let step = self.only(filter, step);
        let parts = [self.list(Vec::new()), self.literal(Literal::Bool(true)), step, self.result()];
        Ok(self.fold(range, names, parts))
    }

    /// A map with the same keys, or of the entries that are worked out.
    fn map_of(&mut self, name: &str, range: Expr, mut arguments: Vec<Expr>) -> Made {
        let names = self.variables(&arguments, 2, "argument must be a simple name")?;
        let Some(body) = arguments.pop() else { return Ok(range) };
        let filter = if arguments.len() > 2 { arguments.pop() } else { None };
        let before = self.result();
        let step = match name {
            "transformMap" => {
                let key = self.ident(&names.0);
                self.call("cel.@mapInsert", [before, key, body])
            }
            _ => self.call("cel.@mapInsert", [before, body]),
        };
        let step = self.only(filter, step);
        let initial = self.made.at(self.place, Node::Map(Vec::new()));
        let parts = [initial, self.literal(Literal::Bool(true)), step, self.result()];
        Ok(self.fold(range, names, parts))
    }

    /// Gives a value a name within an expression.
    fn bind(&mut self, name: &str, value: Expr, within: Expr) -> Expr {
        let fold = Fold {
            range: self.list(Vec::new()),
            variable: "#unused".into(),
            second: None,
            accumulator: name.to_owned(),
            initial: value,
            condition: self.literal(Literal::Bool(false)),
            step: self.ident(name),
            result: within,
        };
        self.made.at(self.place, Node::Fold(Box::new(fold)))
    }

    fn sort_by(&mut self, target: Expr, arguments: Vec<Expr>) -> Made {
        const INPUT: &str = "@__sortBy_input__";
        let range = self.ident(INPUT);
        let keys = self.map(range, arguments, 1)?;
        let input = Some(Box::new(self.ident(INPUT)));
        let function = "@sortByAssociatedKeys".to_owned();
        let sorted = self.made.at(self.place, Node::Call { function, target: input, arguments: vec![keys] });
        Ok(self.bind(INPUT, target, sorted))
    }

    fn optional(&mut self, name: &str, target: Expr, mut arguments: Vec<Expr>) -> Made {
        let variable = self.variable(&arguments[0], "optMap() variable name must be a simple identifier")?;
        let Some(body) = arguments.pop() else { return Ok(target) };
        // What the value is asked of stands there twice: many in a row would be a very large tree.
        self.made.repeat(&target)?;
        let mut method = |target: &Expr, name: &str| {
            let target = Some(Box::new(target.clone()));
            let call = Node::Call { function: name.into(), target, arguments: Vec::new() };
            self.made.at(self.place, call)
        };
        let (has_value, value) = (method(&target, "hasValue"), method(&target, "value"));
        let mapped = self.bind(&variable, value, body);
        let mapped = if name == "optMap" { self.call("optional.of", [mapped]) } else { mapped };
        let none = self.call("optional.none", []);
        Ok(self.call("_?_:_", [has_value, mapped, none]))
    }
}
