"""Completions for bash, zsh and fish, from the commands as the program has them."""

from __future__ import annotations

import re

# What a placeholder stands for. Any other one takes words that no shell can know.
FILES = {"FILE", "PATH", "CAPTURE", "FOLDER", "DIRECTORY"}


def nodes(command: dict, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], dict]]:
    """nodes returns every command with the words that lead to it; the program itself has none."""
    found = [(path, command)]
    for inner in command["commands"]:
        found += nodes(inner, (*path, inner["name"]))
    return found


def flags(command: dict) -> list[str]:
    return [name for option in command["options"] for name in option_names(option)]


def option_names(option: dict) -> list[str]:
    return ["-" + name for name in option["short"]] + ["--" + name for name in option["long"]]


def choices(option: dict) -> list[str]:
    found = re.search(r"\{([^}]*)\}", option["type"])
    return found[1].split(",") if found else []


def placeholder(option: dict) -> str:
    return option["positional"] or option["type"].split(":")[0]


def takes_file(option: dict) -> bool:
    return placeholder(option).strip("[]. ") in FILES


def first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def runs_command(command: dict) -> bool:
    """A command that starts another one says so in its first line: (-- COMMAND)."""
    return "-- COMMAND" in command["text"]


BASH = """# bash completion for sallyport. Made from the program's own commands.
_sallyport() {
  local cur prev path="" word i
  cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    if [[ $word == -- ]]; then
      if declare -F _command_offset >/dev/null; then _command_offset $((i + 1)); else mapfile -t COMPREPLY < <(compgen -c -- "$cur"); fi
      return
    fi
    case "$path $word" in
@WALK@
    esac
  done
  case "$path:$prev" in
@VALUES@
  esac
  local options="" commands="" files=no
  case $path in
@COMMANDS@
  esac
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
  elif [[ -n $commands ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
  elif [[ $files == yes ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
  fi
}
complete -F _sallyport sallyport
"""


def bash(tree: dict) -> str:
    walk, values, commands = [], [], []
    for path, command in nodes(tree):
        here = "".join(" " + word for word in path)
        for inner in command["commands"]:
            walk.append(f'      "{here} {inner["name"]}") path+=" {inner["name"]}" ;;')
        for option in command["options"]:
            patterns = "|".join(f'"{here}:{name}"' for name in option_names(option))
            if not patterns or not option["type"]:
                continue
            if takes_file(option):
                action = 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return'
            elif words := choices(option):
                action = f'mapfile -t COMPREPLY < <(compgen -W "{" ".join(words)}" -- "$cur"); return'
            else:
                action = "return"
            values.append(f"    {patterns}) {action} ;;")
        inner_names = " ".join(inner["name"] for inner in command["commands"])
        files = " files=yes" if any(option["positional"] and takes_file(option) for option in command["options"]) else ""
        more = " --" if runs_command(command) else ""
        commands.append(f'    "{here}") options="{" ".join(flags(command))}{more}" commands="{inner_names}"{files} ;;')
    return BASH.replace("@WALK@", "\n".join(walk)).replace("@VALUES@", "\n".join(values)).replace("@COMMANDS@", "\n".join(commands))


def zsh_text(text: str) -> str:
    text = first_line(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    return text.replace("'", "'\\''")


def zsh_value(option: dict) -> str:
    name = placeholder(option).lstrip(":") or "value"
    if takes_file(option):
        return f":{zsh_text(name)}:_files"
    if words := choices(option):
        return f":{zsh_text(name)}:({' '.join(words)})"
    return f":{zsh_text(name)}: "


def zsh_arguments(command: dict) -> list[str]:
    lines = []
    for option in command["options"]:
        value = zsh_value(option) if option["type"] or option["positional"] else ""
        if option["positional"]:
            lines.append(f"'{'*' if option['many'] else ''}{value if option['many'] else ':' + value[1:]}'")
            continue
        for name in option_names(option):
            again = "*" if option["many"] else ""
            lines.append(f"'{again}{name}[{zsh_text(option['text'])}]{value}'")
    return lines


def zsh_function(path: tuple[str, ...], command: dict) -> str:
    name = "_".join(["_sallyport", *(re.sub(r"\W", "_", word) for word in path)])
    lines = zsh_arguments(command)
    if not command["commands"]:
        if runs_command(command):
            lines.append("'*::command:_normal'")
        return f"{name}() {{\n  _arguments -s \\\n    " + " \\\n    ".join(lines) + "\n}\n"
    listed = "\n".join(f"    '{inner['name']}:{zsh_text(inner['text'])}'" for inner in command["commands"])
    cases = "\n".join(f"        {inner['name']}) {name}_{re.sub(r'[^0-9A-Za-z_]', '_', inner['name'])} ;;" for inner in command["commands"])
    return f"""{name}() {{
  local curcontext=$curcontext state line
  local -a commands=(
{listed}
  )
  _arguments -C \\
    {f" {chr(92)}{chr(10)}    ".join(lines)} \\
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe -t commands 'command' commands ;;
    argument)
      case $line[1] in
{cases}
      esac ;;
  esac
}}
"""


def zsh(tree: dict) -> str:
    functions = "\n".join(zsh_function(path, command) for path, command in nodes(tree))
    return f"#compdef sallyport\n# zsh completion for sallyport. Made from the program's own commands.\n\n{functions}\n_sallyport \"$@\"\n"


FISH = """# fish completion for sallyport. Made from the program's own commands.
function __sallyport_at --description 'Is this the command of the line so far?'
  set -l words
  for word in (commandline -opc)[2..-1]
    test "$word" = --; and return 1
    contains -- "$words $word" @PATHS@; and set words "$words $word"
  end
  test "$words" = "$argv[1]"
end
complete -c sallyport -f
"""


def fish_text(text: str) -> str:
    return first_line(text).replace("\\", "\\\\").replace("'", "\\'")


def fish(tree: dict) -> str:
    everything = nodes(tree)
    paths = " ".join("' " + " ".join(path) + "'" for path, _ in everything if path)
    out = FISH.replace("@PATHS@", paths)
    for path, command in everything:
        here = f"'__sallyport_at \"{''.join(' ' + word for word in path)}\"'"
        for inner in command["commands"]:
            out += f"complete -c sallyport -n {here} -a {inner['name']} -d '{fish_text(inner['text'])}'\n"
        for option in command["options"]:
            if option["positional"]:
                if takes_file(option):
                    out += f"complete -c sallyport -n {here} -F\n"
                continue
            names = "".join(f" -s {name}" for name in option["short"]) + "".join(f" -l {name}" for name in option["long"])
            value = ""
            if option["type"]:
                words = choices(option)
                value = " -r -F" if takes_file(option) else f" -x -a '{' '.join(words)}'" if words else " -x"
            out += f"complete -c sallyport -n {here}{names}{value} -d '{fish_text(option['text'])}'\n"
    return out
