# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_zimg_global_optspecs
    string join \n s/size= a/aspect= megapixels= round no-round steps= seed= n/count= guidance= negative= guidance-normalization= guidance-truncation= o/output= format= quality= grid= no-metadata metadata f/force show= preview= q/quiet no-quiet priority= wait no-wait batch= parallel= detach socket= json h/help V/version
end

function __fish_zimg_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_zimg_global_optspecs) -- $cmd 2>/dev/null
    or return
    if contains -- "$argv[1]" draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_zimg_using_subcommand
    set -l cmd (__fish_zimg_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c zimg -n "__fish_zimg_needs_command" -s s -l size -d 'Width and height in pixels: multiples of 16 from 64 to 2048' -r
complete -c zimg -n "__fish_zimg_needs_command" -s a -l aspect -d 'The size by its shape, as 16:9; as many pixels as the model likes' -r
complete -c zimg -n "__fish_zimg_needs_command" -l megapixels -d 'The size by its pixels, in units of 1024x1024; square unless --aspect says otherwise' -r
complete -c zimg -n "__fish_zimg_needs_command" -l steps -d 'Denoising steps, 1 to 100' -r
complete -c zimg -n "__fish_zimg_needs_command" -l seed -d 'The number that decides the noise; the same seed gives the same image' -r
complete -c zimg -n "__fish_zimg_needs_command" -s n -l count -d 'How many images, 1 to 256' -r
complete -c zimg -n "__fish_zimg_needs_command" -l guidance -d 'How strongly to follow the prompt; 0 is off and fastest' -r
complete -c zimg -n "__fish_zimg_needs_command" -l negative -d 'What the image should not show; used when the guidance is above 0' -r
complete -c zimg -n "__fish_zimg_needs_command" -l guidance-normalization -d 'Limit the guided prediction to this many times the unguided norm; 0 is off' -r
complete -c zimg -n "__fish_zimg_needs_command" -l guidance-truncation -d 'Switch guidance off after this part of the way, 0 to 1; 1 is never' -r
complete -c zimg -n "__fish_zimg_needs_command" -s o -l output -d 'Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output' -r -F
complete -c zimg -n "__fish_zimg_needs_command" -l format -d 'The format, where no name says it: on standard output, and of the default name' -r -f -a "png\t'Lossless, read by everything'
jpg\t'Small, see --quality'
webp\t'Lossless and smaller than PNG, or with --quality as small as JPEG'
ppm\t'Binary PPM (P6): the pixels after three lines of text'
raw\t'The pixels: 8-bit RGB, rows from the top'"
complete -c zimg -n "__fish_zimg_needs_command" -l quality -d 'Of a JPEG, 1 to 100 [default: 92], or of a WebP [default: lossless]' -r
complete -c zimg -n "__fish_zimg_needs_command" -l grid -d 'Save a sheet with all images as well: to FILE, or beside them' -r
complete -c zimg -n "__fish_zimg_needs_command" -l show -d 'Show the finished images in the terminal' -r -f -a "auto\t'What the terminal can do best'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'Not at all'"
complete -c zimg -n "__fish_zimg_needs_command" -l preview -d 'Show in the terminal how the image comes to be' -r -f -a "auto\t'What the terminal can do best'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'Not at all'"
complete -c zimg -n "__fish_zimg_needs_command" -l priority -d 'Who goes first; batch jobs yield to interactive ones at any step' -r -f -a "interactive\t'Before batch jobs, at the next step of the running one'
batch\t'When nobody waits'"
complete -c zimg -n "__fish_zimg_needs_command" -l batch -d 'Draw many: FILE has a prompt or a JSON object a line; "-" is standard input' -r -F
complete -c zimg -n "__fish_zimg_needs_command" -l parallel -d 'How many images of a batch are under way at a time, 1 to 16 [default: 4]' -r
complete -c zimg -n "__fish_zimg_needs_command" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_needs_command" -l round -d 'Take the nearest size that is possible instead of refusing one that is not'
complete -c zimg -n "__fish_zimg_needs_command" -l no-round -d 'Refuse a size that is not possible, whatever is set'
complete -c zimg -n "__fish_zimg_needs_command" -l no-metadata -d 'Do not write into the image how it was made'
complete -c zimg -n "__fish_zimg_needs_command" -l metadata -d 'Write into the image how it was made'
complete -c zimg -n "__fish_zimg_needs_command" -s f -l force -d 'Replace files that exist'
complete -c zimg -n "__fish_zimg_needs_command" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_needs_command" -l no-quiet -d 'Show how it goes, whatever is set'
complete -c zimg -n "__fish_zimg_needs_command" -l wait -d 'Wait for a place when the daemon has none, and for a daemon when there is none'
complete -c zimg -n "__fish_zimg_needs_command" -l no-wait -d 'Fail when the daemon has no place, whatever is set'
complete -c zimg -n "__fish_zimg_needs_command" -l detach -d 'Let the daemon draw and keep it: print the job\'s number and end'
complete -c zimg -n "__fish_zimg_needs_command" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_needs_command" -s V -l version -d 'Print version'
complete -c zimg -n "__fish_zimg_needs_command" -a "draw" -d 'Draw images; the word may be left out'
complete -c zimg -n "__fish_zimg_needs_command" -a "redo" -d 'Draw an image again as it was made, but for what is typed'
complete -c zimg -n "__fish_zimg_needs_command" -a "show" -d 'Print how an image was made'
complete -c zimg -n "__fish_zimg_needs_command" -a "jobs" -d 'List your jobs: those that wait, are drawn, or are kept'
complete -c zimg -n "__fish_zimg_needs_command" -a "wait" -d 'Save the images of detached jobs, once they are drawn'
complete -c zimg -n "__fish_zimg_needs_command" -a "cancel" -d 'Stop jobs, or drop what is kept of them'
complete -c zimg -n "__fish_zimg_needs_command" -a "status" -d 'Say how the daemon and its worker are'
complete -c zimg -n "__fish_zimg_needs_command" -a "metrics" -d 'Print the daemon\'s figures for Prometheus'
complete -c zimg -n "__fish_zimg_needs_command" -a "doctor" -d 'Look for what keeps images from being drawn, and say what to type'
complete -c zimg -n "__fish_zimg_needs_command" -a "sleep" -d 'Free the GPU until the next prompt'
complete -c zimg -n "__fish_zimg_needs_command" -a "wake" -d 'Bring the model back before a prompt does'
complete -c zimg -n "__fish_zimg_needs_command" -a "config" -d 'Print the settings that are in force'
complete -c zimg -n "__fish_zimg_needs_command" -a "completions" -d 'Print completions for a shell'
complete -c zimg -n "__fish_zimg_needs_command" -a "man" -d 'Print the manual page, or write all pages into a folder'
complete -c zimg -n "__fish_zimg_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s s -l size -d 'Width and height in pixels: multiples of 16 from 64 to 2048' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s a -l aspect -d 'The size by its shape, as 16:9; as many pixels as the model likes' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l megapixels -d 'The size by its pixels, in units of 1024x1024; square unless --aspect says otherwise' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l steps -d 'Denoising steps, 1 to 100' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l seed -d 'The number that decides the noise; the same seed gives the same image' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s n -l count -d 'How many images, 1 to 256' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l guidance -d 'How strongly to follow the prompt; 0 is off and fastest' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l negative -d 'What the image should not show; used when the guidance is above 0' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l guidance-normalization -d 'Limit the guided prediction to this many times the unguided norm; 0 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l guidance-truncation -d 'Switch guidance off after this part of the way, 0 to 1; 1 is never' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s o -l output -d 'Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l format -d 'The format, where no name says it: on standard output, and of the default name' -r -f -a "png\t'Lossless, read by everything'
jpg\t'Small, see --quality'
webp\t'Lossless and smaller than PNG, or with --quality as small as JPEG'
ppm\t'Binary PPM (P6): the pixels after three lines of text'
raw\t'The pixels: 8-bit RGB, rows from the top'"
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l quality -d 'Of a JPEG, 1 to 100 [default: 92], or of a WebP [default: lossless]' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l grid -d 'Save a sheet with all images as well: to FILE, or beside them' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l show -d 'Show the finished images in the terminal' -r -f -a "auto\t'What the terminal can do best'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'Not at all'"
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l preview -d 'Show in the terminal how the image comes to be' -r -f -a "auto\t'What the terminal can do best'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'Not at all'"
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l priority -d 'Who goes first; batch jobs yield to interactive ones at any step' -r -f -a "interactive\t'Before batch jobs, at the next step of the running one'
batch\t'When nobody waits'"
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l batch -d 'Draw many: FILE has a prompt or a JSON object a line; "-" is standard input' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l parallel -d 'How many images of a batch are under way at a time, 1 to 16 [default: 4]' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l round -d 'Take the nearest size that is possible instead of refusing one that is not'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l no-round -d 'Refuse a size that is not possible, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l no-metadata -d 'Do not write into the image how it was made'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l metadata -d 'Write into the image how it was made'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s f -l force -d 'Replace files that exist'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l no-quiet -d 'Show how it goes, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l wait -d 'Wait for a place when the daemon has none, and for a daemon when there is none'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l no-wait -d 'Fail when the daemon has no place, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l detach -d 'Let the daemon draw and keep it: print the job\'s number and end'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l prompt -d 'Another prompt' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s s -l size -d 'Width and height in pixels: multiples of 16 from 64 to 2048' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s a -l aspect -d 'The size by its shape, as 16:9; as many pixels as the model likes' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l megapixels -d 'The size by its pixels, in units of 1024x1024; square unless --aspect says otherwise' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l steps -d 'Denoising steps, 1 to 100' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l seed -d 'The number that decides the noise; the same seed gives the same image' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s n -l count -d 'How many images, 1 to 256' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l guidance -d 'How strongly to follow the prompt; 0 is off and fastest' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l negative -d 'What the image should not show; used when the guidance is above 0' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l guidance-normalization -d 'Limit the guided prediction to this many times the unguided norm; 0 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l guidance-truncation -d 'Switch guidance off after this part of the way, 0 to 1; 1 is never' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s o -l output -d 'Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l format -d 'The format, where no name says it: on standard output, and of the default name' -r -f -a "png\t'Lossless, read by everything'
jpg\t'Small, see --quality'
webp\t'Lossless and smaller than PNG, or with --quality as small as JPEG'
ppm\t'Binary PPM (P6): the pixels after three lines of text'
raw\t'The pixels: 8-bit RGB, rows from the top'"
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l quality -d 'Of a JPEG, 1 to 100 [default: 92], or of a WebP [default: lossless]' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l grid -d 'Save a sheet with all images as well: to FILE, or beside them' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l show -d 'Show the finished images in the terminal' -r -f -a "auto\t'What the terminal can do best'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'Not at all'"
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l preview -d 'Show in the terminal how the image comes to be' -r -f -a "auto\t'What the terminal can do best'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'Not at all'"
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l priority -d 'Who goes first; batch jobs yield to interactive ones at any step' -r -f -a "interactive\t'Before batch jobs, at the next step of the running one'
batch\t'When nobody waits'"
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l round -d 'Take the nearest size that is possible instead of refusing one that is not'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l no-round -d 'Refuse a size that is not possible, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l no-metadata -d 'Do not write into the image how it was made'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l metadata -d 'Write into the image how it was made'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s f -l force -d 'Replace files that exist'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l no-quiet -d 'Show how it goes, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l wait -d 'Wait for a place when the daemon has none, and for a daemon when there is none'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l no-wait -d 'Fail when the daemon has no place, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand show" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand show" -l parameters -d 'Print the text that other programs read'
complete -c zimg -n "__fish_zimg_using_subcommand show" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand jobs" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand jobs" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand jobs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -s o -l output -d 'Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l format -d 'The format, where no name says it' -r -f -a "png\t'Lossless, read by everything'
jpg\t'Small, see --quality'
webp\t'Lossless and smaller than PNG, or with --quality as small as JPEG'
ppm\t'Binary PPM (P6): the pixels after three lines of text'
raw\t'The pixels: 8-bit RGB, rows from the top'"
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l quality -d 'Of a JPEG, 1 to 100 [default: 92], or of a WebP [default: lossless]' -r
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l grid -d 'Save a sheet with all of a job\'s images as well: to FILE, or beside them' -r
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l show -d 'Show the finished images in the terminal' -r -f -a "auto\t'What the terminal can do best'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'Not at all'"
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l keep -d 'Let the daemon keep the jobs after their images are saved'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l no-metadata -d 'Do not write into the image how it was made'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -s f -l force -d 'Replace files that exist'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand cancel" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand cancel" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_using_subcommand cancel" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand status" -s w -l watch -d 'Show it live, until q or Ctrl-C; a look each 0.5 seconds, or as many as are said' -r
complete -c zimg -n "__fish_zimg_using_subcommand status" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand status" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand metrics" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand metrics" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand metrics" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand doctor" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand doctor" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand sleep" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand sleep" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand sleep" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand wake" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand wake" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand wake" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -f -a "show" -d 'Print all settings in the form of the file'
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -f -a "path" -d 'Print where the file is'
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from show" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from show" -l origin -d 'Say where each is from'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from path" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from path" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from path" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print all settings in the form of the file'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "path" -d 'Print where the file is'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c zimg -n "__fish_zimg_using_subcommand completions" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand completions" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand man" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand man" -l json -d 'Print what happens as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "draw" -d 'Draw images; the word may be left out'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "redo" -d 'Draw an image again as it was made, but for what is typed'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "show" -d 'Print how an image was made'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "jobs" -d 'List your jobs: those that wait, are drawn, or are kept'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "wait" -d 'Save the images of detached jobs, once they are drawn'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "cancel" -d 'Stop jobs, or drop what is kept of them'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "status" -d 'Say how the daemon and its worker are'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "metrics" -d 'Print the daemon\'s figures for Prometheus'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "doctor" -d 'Look for what keeps images from being drawn, and say what to type'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "sleep" -d 'Free the GPU until the next prompt'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "wake" -d 'Bring the model back before a prompt does'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "config" -d 'Print the settings that are in force'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "completions" -d 'Print completions for a shell'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "man" -d 'Print the manual page, or write all pages into a folder'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics doctor sleep wake config completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c zimg -n "__fish_zimg_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print all settings in the form of the file'
complete -c zimg -n "__fish_zimg_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "path" -d 'Print where the file is'
