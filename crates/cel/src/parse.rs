//! Reading expressions.

use crate::ast::{Entry, Expr, Id, Literal, Node};
use crate::lex::{self, Mistake, Token};
use crate::macros;
use crate::names::RESERVED;

/// Nesting of an expression.
const MAX_DEPTH: usize = 48;

/// Operators, fields and indices of an expression: a chain of them is as deep a tree as it is long.
const MAX_LINKS: usize = 1_000;

/// How long one chain of operators, fields and indices may be: it is a tree as deep.
const MAX_CHAIN: usize = 100;

/// Parts of an expression that macros write once more.
const MAX_REPEATED: usize = 10_000;

/// Bytes of one expression.
const MAX_BYTES: usize = 16 << 10;

/// Operators between two values by their strength, the weakest first, with the names of their functions.
const OPERATORS: &[&[(&str, &str)]] = &[
    &[
        ("==", "_==_"),
        ("!=", "_!=_"),
        ("<=", "_<=_"),
        (">=", "_>=_"),
        ("<", "_<_"),
        (">", "_>_"),
        ("in", "@in"),
    ],
    &[("+", "_+_"), ("-", "_-_")],
    &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
];

/// What may begin an expression.
const BEGINNINGS: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, \
                          STRING, BYTES, IDENTIFIER}";

/// An expression that has been read.
#[derive(Debug, PartialEq)]
pub struct Parsed {
    /// The whole.
    pub expr: Expr,
    /// The byte at which each part is shown, by its number.
    pub places: Vec<usize>,
}

/// Reads an expression.
///
/// # Errors
/// It is none.
pub fn parse(text: &str) -> Result<Parsed, Mistake> {
    if text.len() > MAX_BYTES {
        return Err((0, format!("expression exceeds {MAX_BYTES} bytes")));
    }
    let mut parser = Parser { tokens: lex::tokens(text)?, at: 0, links: 0, made: Maker::default() };
    let expr = parser.expr(MAX_DEPTH)?;
    match parser.peek() {
        Token::End => Ok(Parsed { expr, places: parser.made.places }),
        _ => {
            let (place, shown) = parser.shown();
            let is_last = matches!(parser.tokens.get(parser.at + 1), Some((_, Token::End)));
            let what = if is_last { "extraneous" } else { "mismatched" };
            Err((place, format!("Syntax error: {what} input '{shown}' expecting <EOF>")))
        }
    }
}

type Read = Result<Expr, Mistake>;

/// Makes the parts of an expression, and knows where each is shown.
#[derive(Debug, Default)]
pub struct Maker {
    places: Vec<usize>,
    repeated: usize,
}

impl Maker {
    /// A part at a byte.
    pub fn at(&mut self, place: usize, node: Node) -> Expr {
        self.places.push(place);
        Expr { id: self.places.len() - 1, node }
    }

    /// Where a part is shown.
    pub fn place(&self, id: Id) -> usize {
        self.places.get(id).copied().unwrap_or_default()
    }

    /// Counts a part that stands there once more.
    ///
    /// # Errors
    /// They are too many.
    pub fn repeat(&mut self, expr: &Expr) -> Result<(), Mistake> {
        fn size(expr: &Expr) -> usize {
            1 + expr.children().into_iter().map(size).sum::<usize>()
        }
        self.repeated += size(expr);
        if self.repeated > MAX_REPEATED {
            return Err((self.place(expr.id), "optional values are nested too deeply".into()));
        }
        Ok(())
    }

    /// A call of a function.
    pub fn call(&mut self, place: usize, function: &str, arguments: Vec<Expr>) -> Expr {
        self.at(place, Node::Call { function: function.into(), target: None, arguments })
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    links: usize,
    made: Maker,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |(place, _)| *place)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// The next word as it is written, and its place.
    fn shown(&self) -> (usize, String) {
        let shown = match self.peek() {
            Token::End => "<EOF>".to_owned(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Name(name) => name.clone(),
            Token::Text(text) => format!("'{text}'"),
            Token::Bytes(_) => "b''".to_owned(),
            Token::Int(int) => int.to_string(),
            Token::Uint(int) => format!("{int}u"),
            Token::Double(double) => double.to_string(),
        };
        (self.place(), shown)
    }

    fn unexpected(&self, expected: &str) -> Mistake {
        let (place, shown) = self.shown();
        (place, format!("Syntax error: mismatched input '{shown}' expecting {expected}"))
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), Token::Sign(next) if *next == sign);
        self.at += usize::from(is_next);
        is_next
    }

    fn needs(&mut self, sign: &str) -> Result<(), Mistake> {
        if self.takes(sign) {
            return Ok(());
        }
        match self.peek() {
            Token::End => Err((self.place(), format!("Syntax error: missing '{sign}' at '<EOF>'"))),
            _ => Err(self.unexpected(&format!("'{sign}'"))),
        }
    }

    fn link(&mut self) -> Result<(), Mistake> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err((self.place(), format!("expression has more than {MAX_LINKS} operators")));
        }
        Ok(())
    }

    /// One more link of a chain.
    fn chain(&mut self, length: &mut usize) -> Result<(), Mistake> {
        *length += 1;
        if *length > MAX_CHAIN {
            return Err((self.place(), format!("more than {MAX_CHAIN} operators in a row")));
        }
        self.link()
    }

    fn expr(&mut self, depth: usize) -> Read {
        let too_deep = || (self.place(), format!("expression is nested deeper than {MAX_DEPTH} levels"));
        let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
        let condition = self.logic(0, depth)?;
        let place = self.place();
        if !self.takes("?") {
            return Ok(condition);
        }
        self.link()?;
        let yes = self.logic(0, depth)?;
        self.needs(":")?;
        let no = self.expr(depth)?;
        Ok(self.made.call(place, "_?_:_", vec![condition, yes, no]))
    }

    /// `||` and `&&`: many in a row become a tree that is no deeper than it must be.
    fn logic(&mut self, level: usize, depth: usize) -> Read {
        let (sign, function) = [("||", "_||_"), ("&&", "_&&_")][level];
        let operand = |this: &mut Self| match level {
            0 => this.logic(1, depth),
            _ => this.binary(0, depth),
        };
        let mut terms = vec![operand(self)?];
        let mut places = Vec::new();
        loop {
            let place = self.place();
            if !self.takes(sign) {
                break;
            }
            self.link()?;
            places.push(place);
            terms.push(operand(self)?);
        }
        Ok(self.balanced(function, &mut terms.into_iter(), &places))
    }

    /// Joins terms that stand between operators at these places, one more than there are places.
    fn balanced(&mut self, function: &str, terms: &mut std::vec::IntoIter<Expr>, places: &[usize]) -> Expr {
        let middle = places.len().saturating_sub(1) / 2 + places.len().saturating_sub(1) % 2;
        let Some(place) = places.get(middle).copied() else {
            return terms.next().unwrap_or_else(|| self.made.at(0, Node::Literal(Literal::Null)));
        };
        let left = self.balanced(function, terms, &places[..middle]);
        let right = self.balanced(function, terms, &places[middle + 1..]);
        self.made.call(place, function, vec![left, right])
    }

    fn binary(&mut self, level: usize, depth: usize) -> Read {
        let Some(operators) = OPERATORS.get(level) else { return self.unary(depth) };
        let mut left = self.binary(level + 1, depth)?;
        let mut length = 0;
        loop {
            let place = self.place();
            let Some((_, function)) = operators.iter().find(|(sign, _)| self.takes(sign)) else {
                return Ok(left);
            };
            self.chain(&mut length)?;
            let right = self.binary(level + 1, depth)?;
            left = self.made.call(place, function, vec![left, right]);
        }
    }

    fn unary(&mut self, depth: usize) -> Read {
        let place = self.place();
        for (sign, function) in [("!", "!_"), ("-", "-_")] {
            let is_negative_number = sign == "-"
                && matches!(self.tokens.get(self.at + 1), Some((_, Token::Int(_) | Token::Double(_))));
            if is_negative_number || !self.takes(sign) {
                continue;
            }
            let mut count = 1;
            while self.takes(sign) {
                count += 1;
                self.link()?;
            }
            let inner = self.member(depth)?;
            return Ok(match count % 2 {
                0 => inner,
                _ => self.made.call(place, function, vec![inner]),
            });
        }
        self.member(depth)
    }

    fn member(&mut self, depth: usize) -> Read {
        let mut value = self.primary(depth)?;
        let mut length = 0;
        loop {
            let place = self.place();
            if self.takes(".") {
                self.chain(&mut length)?;
                let is_optional = self.takes("?");
                let Token::Name(name) = self.next() else {
                    self.at -= 1;
                    return Err(self.unexpected("IDENTIFIER"));
                };
                let open = self.place();
                value = if is_optional {
                    let field = self.made.at(place, Node::Literal(Literal::Text(name)));
                    self.made.call(place, "_?._", vec![value, field])
                } else if self.takes("(") {
                    let arguments = self.arguments(")", depth)?;
                    macros::method(&mut self.made, open, value, name, arguments)?
                } else {
                    let operand = Box::new(value);
                    self.made.at(place, Node::Select { operand, field: name, test: false })
                };
            } else if self.takes("[") {
                self.chain(&mut length)?;
                let function = if self.takes("?") { "_[?_]" } else { "_[_]" };
                let index = self.expr(depth)?;
                self.needs("]")?;
                value = self.made.call(place, function, vec![value, index]);
            } else {
                return Ok(value);
            }
        }
    }

    fn arguments(&mut self, end: &str, depth: usize) -> Result<Vec<Expr>, Mistake> {
        let mut all = Vec::new();
        while !self.takes(end) {
            if !all.is_empty() {
                self.needs(",")?;
            }
            all.push(self.expr(depth)?);
        }
        Ok(all)
    }

    fn primary(&mut self, depth: usize) -> Read {
        let place = self.place();
        let literal = |this: &mut Self, literal| Ok(this.made.at(place, Node::Literal(literal)));
        match self.next() {
            Token::Int(int) => match int {
                i64::MIN => Err((place, "invalid int literal".into())),
                int => literal(self, Literal::Int(int)),
            },
            Token::Uint(int) => literal(self, Literal::Uint(int)),
            Token::Double(double) => literal(self, Literal::Double(double)),
            Token::Text(text) => literal(self, Literal::Text(text)),
            Token::Bytes(bytes) => literal(self, Literal::Bytes(bytes)),
            Token::Sign("-") => match self.next() {
                Token::Int(int) => literal(self, Literal::Int(int.wrapping_neg())),
                Token::Double(double) => literal(self, Literal::Double(-double)),
                _ => {
                    self.at -= 2;
                    Err(self.unexpected(BEGINNINGS))
                }
            },
            Token::Sign("(") => {
                let inner = self.expr(depth)?;
                self.needs(")")?;
                Ok(inner)
            }
            Token::Sign("[") => self.list(place, depth),
            Token::Sign("{") => self.map(place, depth),
            Token::Name(name) => self.name(place, name, depth),
            _ => {
                self.at -= 1;
                Err(self.unexpected(BEGINNINGS))
            }
        }
    }

    fn name(&mut self, place: usize, name: String, depth: usize) -> Read {
        let literal = match name.as_str() {
            "true" => Some(Literal::Bool(true)),
            "false" => Some(Literal::Bool(false)),
            "null" => Some(Literal::Null),
            _ => None,
        };
        if let Some(literal) = literal {
            return Ok(self.made.at(place, Node::Literal(literal)));
        }
        if RESERVED.contains(&name.as_str()) {
            return Err((place, format!("reserved identifier: {name}")));
        }
        let open = self.place();
        if !self.takes("(") {
            return Ok(self.made.at(place, Node::Ident(name)));
        }
        let arguments = self.arguments(")", depth)?;
        macros::function(&mut self.made, open, name, arguments)
    }

    /// What stands between commas, the last of which may be there for nothing, up to the end.
    fn members<T>(
        &mut self,
        end: &str,
        mut read: impl FnMut(&mut Self) -> Result<T, Mistake>,
    ) -> Result<Vec<T>, Mistake> {
        let mut all = Vec::new();
        while !self.takes(end) {
            if !all.is_empty() {
                self.needs(",")?;
                if self.takes(end) {
                    break;
                }
            }
            all.push(read(self)?);
        }
        Ok(all)
    }

    fn list(&mut self, place: usize, depth: usize) -> Read {
        let items = self.members("]", |this| {
            let is_optional = this.takes("?");
            Ok((this.expr(depth)?, is_optional))
        })?;
        Ok(self.made.at(place, Node::List(items)))
    }

    fn map(&mut self, place: usize, depth: usize) -> Read {
        let entries = self.members("}", |this| {
            let optional = this.takes("?");
            let key = this.expr(depth)?;
            this.needs(":")?;
            Ok(Entry { key, value: this.expr(depth)?, optional })
        })?;
        Ok(self.made.at(place, Node::Map(entries)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_is_refused_with_its_place() {
        let check = |text: &str, place: usize| {
            let (found, why) = parse(text).expect_err(text);
            assert_eq!(found, place, "{text}: {why}");
        };
        check("self.", 5);
        check("a &&", 4);
        check("a b", 2);
        check("'open", 0);
        check("a # b", 2);
        check("has(a)", 4);
        check("a.all(x.y, true)", 7);
        check("for == 1", 0);
        check(&"(".repeat(2_000), 48);
        let long = format!("a{}", ".b".repeat(2_000));
        assert!(parse(&long).is_err());
        assert!(parse(&"-".repeat(15_000)).is_err());
        assert!(parse(&format!("1{}", " + 1".repeat(200))).is_err());
        assert!(parse(&format!("a{}", " && a".repeat(500))).is_ok());
    }

    #[test]
    fn operators_bind_as_they_should() {
        fn plain(expr: &Expr) -> String {
            match &expr.node {
                Node::Ident(name) => name.clone(),
                Node::Literal(literal) => format!("{literal:?}"),
                Node::Select { operand, field, .. } => format!("{}.{field}", plain(operand)),
                Node::Call { function, arguments, .. } => {
                    let all: Vec<String> = arguments.iter().map(plain).collect();
                    format!("{function}({})", all.join(" "))
                }
                other => format!("{other:?}"),
            }
        }
        let shown = |text: &str| plain(&parse(text).expect(text).expr);
        let check = |text: &str, same: &str| assert_eq!(shown(text), shown(same), "{text}");
        check("1 + 2 * 3 == 7 && !a || b", "(((1 + (2 * 3)) == 7) && (!a)) || b");
        check("a ? b : c ? d : e", "a ? b : (c ? d : e)");
        check("a.b[0].d", "((a.b)[0]).d");
        check("1 // a comment\n + 2", "1 + 2");
        check("r'\\d' + \"\\n\"", "'\\\\d' + '\\n'");
        check("--a", "a");
        check("a && b && c && d", "(a && b) && (c && d)");
    }
}
