//! Puts every change into a file at once: each is asleep until the environment names its number.
//!
//! `a + b` becomes `match (a, b) { (l, r) => if crate::mutant::on(7) { l - r } else { l + r } }`, and so on. Which
//! changes the compiler does not take is found by trying; those are left out at the next round.

use proc_macro2::Span;
use quote::quote;
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{BinOp, Block, Expr, ImplItemFn, Item, ItemFn, ItemImpl, Pat, ReturnType, Stmt, Type, UnOp, parse_quote};

/// One change.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Its number; 0 is none.
    pub number: u32,
    /// File, from the root of the repository.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// First and last line of the function, its documentation included.
    pub lines: (usize, usize),
    /// What changes.
    pub change: String,
}

impl Mutant {
    /// The name that stays the same from run to run.
    pub fn name(&self) -> String {
        format!("{}:{}:{}: {}", self.file, self.line, self.column, self.change)
    }
}

/// Changes files one after the other.
pub struct Changer<'a> {
    /// All changes so far.
    pub mutants: Vec<Mutant>,
    /// Numbers that the compiler does not take.
    pub refused: &'a BTreeSet<u32>,
    /// Says if a function, by file and lines, is to be changed.
    pub wanted: &'a dyn Fn(&str, (usize, usize)) -> bool,
    file: String,
    owner: String,
    function: Option<(String, (usize, usize))>,
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = quote!(#attribute).to_string();
        text.contains("cfg (test") || text.contains("cfg (all (test") || text.starts_with("# [test")
    })
}

fn contains_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => contains_let(&binary.left) || contains_let(&binary.right),
        Expr::Paren(inner) => contains_let(&inner.expr),
        _ => false,
    }
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Lit(_))
}

/// What a function of this type may return at once instead of doing its work.
fn instead(output: &ReturnType) -> Vec<(&'static str, Expr)> {
    let ReturnType::Type(_, kind) = output else { return vec![("()", parse_quote!(()))] };
    let Type::Path(path) = &**kind else { return Vec::new() };
    let Some(last) = path.path.segments.last() else { return Vec::new() };
    match last.ident.to_string().as_str() {
        "bool" => vec![("true", parse_quote!(true)), ("false", parse_quote!(false))],
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i32" | "i64" => {
            vec![("0", parse_quote!(0)), ("1", parse_quote!(1))]
        }
        "Option" => vec![("None", parse_quote!(None))],
        "Result" if quote!(#kind).to_string().starts_with("Result < ()") => vec![("Ok(())", parse_quote!(Ok(())))],
        "Duration" => vec![("Duration::ZERO", parse_quote!(::std::time::Duration::ZERO))],
        _ => Vec::new(),
    }
}

/// The operators that stand for this one: how it is named, and what it becomes.
fn others(op: &BinOp) -> Vec<BinOp> {
    match op {
        BinOp::Add(_) => vec![parse_quote!(-)],
        BinOp::Sub(_) => vec![parse_quote!(+)],
        BinOp::Mul(_) => vec![parse_quote!(+)],
        BinOp::Div(_) => vec![parse_quote!(*)],
        BinOp::Rem(_) => vec![parse_quote!(/)],
        BinOp::BitAnd(_) => vec![parse_quote!(|)],
        BinOp::BitOr(_) => vec![parse_quote!(&)],
        BinOp::BitXor(_) => vec![parse_quote!(|)],
        BinOp::Shl(_) => vec![parse_quote!(>>)],
        BinOp::Shr(_) => vec![parse_quote!(<<)],
        BinOp::Eq(_) => vec![parse_quote!(!=)],
        BinOp::Ne(_) => vec![parse_quote!(==)],
        BinOp::Lt(_) => vec![parse_quote!(<=), parse_quote!(>=)],
        BinOp::Le(_) => vec![parse_quote!(<), parse_quote!(>)],
        BinOp::Gt(_) => vec![parse_quote!(>=), parse_quote!(<=)],
        BinOp::Ge(_) => vec![parse_quote!(>), parse_quote!(<)],
        BinOp::AddAssign(_) => vec![parse_quote!(-=)],
        BinOp::SubAssign(_) => vec![parse_quote!(+=)],
        BinOp::BitOrAssign(_) => vec![parse_quote!(&=)],
        BinOp::BitAndAssign(_) => vec![parse_quote!(|=)],
        _ => Vec::new(),
    }
}

fn is_assignment(op: &BinOp) -> bool {
    matches!(op, BinOp::AddAssign(_) | BinOp::SubAssign(_) | BinOp::BitOrAssign(_) | BinOp::BitAndAssign(_))
}

fn is_comparison(op: &BinOp) -> bool {
    matches!(op, BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_))
}

impl<'a> Changer<'a> {
    /// With nothing changed yet.
    pub fn new(refused: &'a BTreeSet<u32>, wanted: &'a dyn Fn(&str, (usize, usize)) -> bool) -> Changer<'a> {
        Changer { mutants: Vec::new(), refused, wanted, file: String::new(), owner: String::new(), function: None }
    }

    /// The text of a file with every change asleep in it.
    pub fn file(&mut self, path: &str, text: &str) -> Result<String, syn::Error> {
        let mut tree = syn::parse_file(text)?;
        self.file = path.to_string();
        self.visit_file_mut(&mut tree);
        Ok(prettyplease::unparse(&tree))
    }

    /// A number for a change here; nothing where the compiler has refused it or the function is not asked for.
    fn number(&mut self, span: Span, change: String) -> Option<u32> {
        let lines = self.function.as_ref()?.1;
        let number = self.mutants.len() as u32 + 1;
        let start = span.start();
        let file = self.file.clone();
        self.mutants.push(Mutant { number, file, line: start.line, column: start.column + 1, lines, change });
        (!self.refused.contains(&number)).then_some(number)
    }

    fn function(&mut self, name: String, span: Span, signature: &syn::Signature, block: &mut Block) {
        let lines = (span.start().line, span.end().line);
        if signature.constness.is_some() || !(self.wanted)(&self.file, lines) {
            return;
        }
        let outside = self.function.replace((name.clone(), lines));
        visit_mut::visit_block_mut(self, block);
        for (text, value) in instead(&signature.output).into_iter().rev() {
            if let Some(number) = self.number(signature.ident.span(), format!("return {text} from {name}")) {
                block.stmts.insert(0, parse_quote!(if crate::mutant::on(#number) { return #value; }));
            }
        }
        self.function = outside;
    }

    fn binary(&mut self, node: &mut Expr) {
        let Expr::Binary(binary) = node else { return };
        if contains_let(&binary.left) || contains_let(&binary.right) {
            return;
        }
        let (op, span) = (binary.op, binary.op.span());
        let name = quote!(#op).to_string();
        let place = self.function.as_ref().map(|function| function.0.clone()).unwrap_or_default();
        if matches!(op, BinOp::And(_) | BinOp::Or(_)) {
            let (left, right) = (&binary.left, &binary.right);
            let other: BinOp = if matches!(op, BinOp::And(_)) { parse_quote!(||) } else { parse_quote!(&&) };
            let other_name = quote!(#other).to_string();
            if let Some(number) = self.number(span, format!("{name} becomes {other_name} in {place}")) {
                *node = parse_quote!((match #left { __l => if crate::mutant::on(#number) { __l #other #right } else { __l #op #right } }));
            }
            return;
        }
        for other in others(&op) {
            let other_name = quote!(#other).to_string();
            let Some(number) = self.number(span, format!("{name} becomes {other_name} in {place}")) else { continue };
            let Expr::Binary(binary) = &*node else {
                self.nested(node, number, &other);
                continue;
            };
            let (left, right) = (&binary.left, &binary.right);
            *node = if is_assignment(&op) {
                parse_quote!((if crate::mutant::on(#number) { #left #other #right } else { #left #op #right }))
            } else if is_comparison(&op) {
                parse_quote!((match (&(#left), &(#right)) { (__l, __r) => if crate::mutant::on(#number) { __l #other __r } else { __l #op __r } }))
            } else if is_literal(left) || is_literal(right) {
                parse_quote!((if crate::mutant::on(#number) { #left #other #right } else { #left #op #right }))
            } else {
                parse_quote!((match (#left, #right) { (__l, __r) => if crate::mutant::on(#number) { __l #other __r } else { __l #op __r } }))
            };
        }
    }

    /// A second change of a comparison that has one already: another branch in its match.
    fn nested(&mut self, node: &mut Expr, number: u32, other: &BinOp) {
        let Expr::Paren(paren) = node else { return };
        let Expr::Match(found) = &mut *paren.expr else { return };
        let body = &found.arms[0].body;
        let body: Expr = parse_quote!(if crate::mutant::on(#number) { __l #other __r } else { #body });
        *found.arms[0].body = body;
    }

    fn arms(&mut self, found: &mut syn::ExprMatch) {
        let place = self.function.as_ref().map(|function| function.0.clone()).unwrap_or_default();
        let open = found.arms.iter().any(|arm| matches!(arm.pat, Pat::Wild(_)) && arm.guard.is_none());
        for arm in &mut found.arms {
            let span = arm.pat.span();
            let pattern = &arm.pat;
            let pattern: String = quote!(#pattern).to_string().chars().take(60).collect();
            match &mut arm.guard {
                Some((_, guard)) if !contains_let(guard) => {
                    let inner = (**guard).clone();
                    let mut expr: Expr = parse_quote!((#inner));
                    if let Some(number) = self.number(span, format!("guard of `{pattern}` true in {place}")) {
                        expr = parse_quote!((crate::mutant::on(#number) || #expr));
                    }
                    if let Some(number) = self.number(span, format!("guard of `{pattern}` false in {place}")) {
                        expr = parse_quote!((!crate::mutant::on(#number) && #expr));
                    }
                    **guard = expr;
                }
                None if open && !matches!(arm.pat, Pat::Wild(_)) => {
                    if let Some(number) = self.number(span, format!("arm `{pattern}` left out in {place}")) {
                        arm.guard = Some((Default::default(), Box::new(parse_quote!(!crate::mutant::on(#number)))));
                    }
                }
                _ => {}
            }
        }
    }
}

impl VisitMut for Changer<'_> {
    fn visit_item_mut(&mut self, item: &mut Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Const(_) | Item::Static(_) | Item::Macro(_) => return,
            _ => return visit_mut::visit_item_mut(self, item),
        };
        if !is_test(attributes) {
            visit_mut::visit_item_mut(self, item);
        }
    }

    fn visit_item_fn_mut(&mut self, item: &mut ItemFn) {
        let span = item.span();
        self.function(item.sig.ident.to_string(), span, &item.sig, &mut item.block);
    }

    fn visit_item_impl_mut(&mut self, item: &mut ItemImpl) {
        let kind = &item.self_ty;
        self.owner = quote!(#kind).to_string().replace(' ', "");
        visit_mut::visit_item_impl_mut(self, item);
        self.owner.clear();
    }

    fn visit_impl_item_fn_mut(&mut self, item: &mut ImplItemFn) {
        if !is_test(&item.attrs) {
            let span = item.span();
            let name = format!("{}::{}", self.owner, item.sig.ident);
            self.function(name, span, &item.sig, &mut item.block);
        }
    }

    fn visit_pat_mut(&mut self, _: &mut Pat) {}
    fn visit_type_mut(&mut self, _: &mut Type) {}
    fn visit_expr_const_mut(&mut self, _: &mut syn::ExprConst) {}

    fn visit_expr_repeat_mut(&mut self, node: &mut syn::ExprRepeat) {
        self.visit_expr_mut(&mut node.expr);
    }

    fn visit_expr_mut(&mut self, node: &mut Expr) {
        let span = node.span();
        let place = self.function.as_ref().map(|function| function.0.clone()).unwrap_or_default();
        visit_mut::visit_expr_mut(self, node);
        match node {
            Expr::Binary(_) => self.binary(node),
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
                let inner = unary.expr.clone();
                if let Some(number) = self.number(span, format!("! left out in {place}")) {
                    *node = parse_quote!((match #inner { __x => if crate::mutant::on(#number) { __x } else { !__x } }));
                }
            }
            Expr::Match(found) => self.arms(found),
            _ => {}
        }
    }

    fn visit_stmt_mut(&mut self, statement: &mut Stmt) {
        let span = statement.span();
        let text: String = quote!(#statement).to_string().chars().take(70).collect();
        visit_mut::visit_stmt_mut(self, statement);
        let Stmt::Expr(expr, Some(_)) = statement else { return };
        let removable = matches!(expr, Expr::MethodCall(_) | Expr::Call(_) | Expr::Assign(_));
        let place = self.function.as_ref().map(|function| function.0.clone()).unwrap_or_default();
        if removable && let Some(number) = self.number(span, format!("`{text}` left out in {place}")) {
            let expr = expr.clone();
            *statement = parse_quote!(if !crate::mutant::on(#number) { #expr; });
        }
    }
}
