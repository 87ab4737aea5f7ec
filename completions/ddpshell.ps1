Register-ArgumentCompleter -Native -CommandName ddp -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $length = [Math]::Max(0, $cursorPosition - $commandAst.Extent.StartOffset)
    $line = $commandAst.ToString().PadRight($length).Substring(0, $length)
    $before = $env:_DDP_COMPLETE, $env:COMP_WORDS, $env:COMP_CWORD
    try {
        $env:_DDP_COMPLETE = 'powershell_complete'
        $env:COMP_WORDS = $line
        $env:COMP_CWORD = $wordToComplete
        $answer = @(& ddp 2>$null)
    } finally {
        $env:_DDP_COMPLETE, $env:COMP_WORDS, $env:COMP_CWORD = $before
    }
    foreach ($completion in $answer) {
        $type, $value, $text = $completion -split "`t", 3
        if ($type -eq 'plain') {
            if (-not $text) { $text = $value }
            [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $text)
        } elseif ($type -in 'file', 'dir') {
            [System.Management.Automation.CompletionCompleters]::CompleteFilename($value)
        }
    }
}
