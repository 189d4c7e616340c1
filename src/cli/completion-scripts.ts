// In these texts `@{` stands for `${`, which a template would take for itself.

/** How each shell is taught: all of them ask the program itself, `PROGRAM __complete WORDS`. */
export function completionScripts(program: string): Readonly<Record<string, string>> {
  const scripts = { bash: BASH, zsh: ZSH, fish: FISH, powershell: POWERSHELL };
  return Object.fromEntries(
    Object.entries(scripts).map(([shell, text]) => [shell, text.replaceAll("PROGRAM", program).replaceAll("@{", "${")]),
  );
}

const BASH = String.raw`# Completion of PROGRAM for bash. For all sessions:
#   PROGRAM completion bash > /etc/bash_completion.d/PROGRAM
_PROGRAM_complete() {
	local IFS=$'\n' line directive=0 words cword=$COMP_CWORD cur
	# bash breaks words at ":" and "=", the program does not: take the line's words as the shell runs them.
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n "=:" -w words -i cword -c cur
	else
		words=("@{COMP_WORDS[@]}")
		cur=@{COMP_WORDS[COMP_CWORD]}
	fi
	local args=("@{words[@]:1:cword-1}" "$cur") found=()
	while IFS= read -r line; do
		case $line in
		:*) directive=@{line#:} ;;
		*) found+=("@{line%%$'\t'*}") ;;
		esac
	done < <("@{words[0]}" __completeNoDesc "@{args[@]}" 2>/dev/null)
	COMPREPLY=()
	if ((directive & 1)); then return; fi
	if ((directive & 2)); then compopt -o nospace 2>/dev/null; fi
	if ((directive & 16)); then
		COMPREPLY=($(compgen -d -- "$cur"))
		compopt -o filenames 2>/dev/null
	elif ((!(directive & 4) && @{#found[@]} == 0)); then
		COMPREPLY=($(compgen -f -- "$cur"))
		compopt -o filenames 2>/dev/null
	fi
	COMPREPLY+=("@{found[@]}")
	if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$cur"; fi
	# What stands before "=" is a word of its own to bash.
	if [[ $cur == *=* && $COMP_WORDBREAKS == *=* ]]; then
		local n
		for n in "@{!COMPREPLY[@]}"; do COMPREPLY[n]=@{COMPREPLY[n]#"@{cur%%=*}="}; done
	fi
}
complete -F _PROGRAM_complete PROGRAM
`;

const ZSH = String.raw`#compdef PROGRAM
# Completion of PROGRAM for zsh. For all sessions: PROGRAM completion zsh > "@{fpath[1]}/_PROGRAM"
_PROGRAM() {
	local line value help directive=0
	local -a found plain
	for line in "@{(@f)$("@{words[1]}" __complete "@{(@)words[2,CURRENT-1]}" "@{PREFIX}" 2>/dev/null)}"; do
		case $line in
		:*) directive=@{line#:} ;;
		*)
			value=@{line%%$'\t'*}
			help=
			[[ $line == *$'\t'* ]] && help=@{line#*$'\t'}
			[[ -n $value ]] && found+=("@{value//:/\\:}:@{help}")
			;;
		esac
	done
	(( directive & 1 )) && return 1
	local -a options
	(( directive & 2 )) && options=(-S '')
	if (( @{#found} )); then
		_describe -V 'completions' found $options
		return
	fi
	(( directive & 16 )) && { _path_files -/; return }
	(( directive & 4 )) || _files
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
	_PROGRAM "$@"
else
	compdef _PROGRAM PROGRAM
fi
`;

const FISH = String.raw`# Completion of PROGRAM for fish. For all sessions:
#   PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish
function __PROGRAM_complete
	set -l words (commandline -opc)
	set -l typed (commandline -ct)
	set -l lines ($words[1] __complete $words[2..-1] $typed 2>/dev/null)
	set -l directive (string replace -r '^:' '' -- $lines[-1])
	set -e lines[-1]
	test (math "bitand($directive, 1)") -eq 0; or return
	if test (count $lines) -gt 0
		printf '%s\n' $lines
	else if test (math "bitand($directive, 16)") -ne 0
		__fish_complete_directories $typed
	else if test (math "bitand($directive, 4)") -eq 0
		__fish_complete_path $typed
	end
end
complete -c PROGRAM -e
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
`;

const POWERSHELL = String.raw`# Completion of PROGRAM for PowerShell. For all sessions: PROGRAM completion powershell >> $PROFILE
Register-ArgumentCompleter -Native -CommandName PROGRAM -ScriptBlock {
    param($typed, $line, $cursor)
    $words = @($line.CommandElements | ForEach-Object { $_.ToString() })
    if ($words.Count -gt 1 -and $typed -ne '') { $words = @($words[0..($words.Count - 2)]) }
    $rest = @($words | Select-Object -Skip 1) + @($typed)
    $lines = @(& $words[0] __complete @rest 2>$null)
    $lines | Where-Object { $_ -notmatch '^:' -and $_ -ne '' } | ForEach-Object {
        $value, $help = $_ -split [char]9, 2
        if (-not $help) { $help = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $help)
    }
}
`;
