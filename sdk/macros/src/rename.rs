//! serde's rules for `rename_all`: what a name becomes.
//!
//! serde applies a rule to a field, which it takes to be in `snake_case`, and to a variant, which it takes to be in `PascalCase`. It does
//! so word by word on simple text; the rules here do the same, so that both agree about every name.

/// A rule by its name in the attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Rule {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "lowercase" => Self::Lower,
            "UPPERCASE" => Self::Upper,
            "PascalCase" => Self::Pascal,
            "camelCase" => Self::Camel,
            "snake_case" => Self::Snake,
            "SCREAMING_SNAKE_CASE" => Self::ScreamingSnake,
            "kebab-case" => Self::Kebab,
            "SCREAMING-KEBAB-CASE" => Self::ScreamingKebab,
            _ => return None,
        })
    }

    pub(crate) fn field(self, name: &str) -> String {
        match self {
            Self::Lower | Self::Snake => name.to_owned(),
            Self::Upper | Self::ScreamingSnake => name.to_ascii_uppercase(),
            Self::Pascal => pascal(name),
            Self::Camel => first_lowered(&pascal(name)),
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        }
    }

    pub(crate) fn variant(self, name: &str) -> String {
        match self {
            Self::Pascal => name.to_owned(),
            Self::Lower => name.to_ascii_lowercase(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Camel => first_lowered(name),
            Self::Snake => snake(name),
            Self::ScreamingSnake => snake(name).to_ascii_uppercase(),
            Self::Kebab => snake(name).replace('_', "-"),
            Self::ScreamingKebab => snake(name).to_ascii_uppercase().replace('_', "-"),
        }
    }
}

fn pascal(snake: &str) -> String {
    let mut pascal = String::new();
    let mut capital = true;
    for character in snake.chars() {
        if character == '_' {
            capital = true;
        } else {
            pascal.push(if capital { character.to_ascii_uppercase() } else { character });
            capital = false;
        }
    }
    pascal
}

fn snake(pascal: &str) -> String {
    let mut snake = String::new();
    for (index, character) in pascal.char_indices() {
        if index > 0 && character.is_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

fn first_lowered(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_serde_makes_of_them() {
        for (rule, field, variant) in [
            ("lowercase", "outer_most_1", "outermost"),
            ("UPPERCASE", "OUTER_MOST_1", "OUTERMOST"),
            ("PascalCase", "OuterMost1", "OuterMost"),
            ("camelCase", "outerMost1", "outerMost"),
            ("snake_case", "outer_most_1", "outer_most"),
            ("SCREAMING_SNAKE_CASE", "OUTER_MOST_1", "OUTER_MOST"),
            ("kebab-case", "outer-most-1", "outer-most"),
            ("SCREAMING-KEBAB-CASE", "OUTER-MOST-1", "OUTER-MOST"),
        ] {
            let known = Rule::from_name(rule).unwrap();
            assert_eq!(
                (known.field("outer_most_1").as_str(), known.variant("OuterMost").as_str()),
                (field, variant),
                "{rule}"
            );
        }
        assert_eq!(Rule::from_name("Title Case"), None);
    }
}
