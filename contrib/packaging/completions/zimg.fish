# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_zimg_global_optspecs
    string join \n s/size= a/aspect= megapixels= round no-round steps= seed= n/count= guidance= negative= guidance-normalization= guidance-rescale= guidance-truncation= strength= hires= hires-strength= variety= variety-share= variety-steps= variety-seed= lora= control-net= control-scale= cfg= cfg-scale= init= mask= invert-mask no-invert-mask mask-blur= outpaint= fit= control= control-kind= o/output= format= quality= grid= no-metadata metadata f/force show= preview= q/quiet no-quiet priority= wait no-wait batch= parallel= detach socket= json h/help V/version
end

function __fish_zimg_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_zimg_global_optspecs) -- $cmd 2>/dev/null
    or return
    if contains -- "$argv[1]" draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help
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
complete -c zimg -n "__fish_zimg_needs_command" -s a -l aspect -d 'The aspect ratio, as 16:9, with the model\'s number of pixels' -r
complete -c zimg -n "__fish_zimg_needs_command" -l megapixels -d 'The number of pixels in units of 1024x1024; square without --aspect' -r
complete -c zimg -n "__fish_zimg_needs_command" -l steps -d 'Denoising steps, 1 to 100' -r
complete -c zimg -n "__fish_zimg_needs_command" -l seed -d 'The number that decides the noise; the same seed gives the same image' -r
complete -c zimg -n "__fish_zimg_needs_command" -s n -l count -d 'How many images, 1 to 256' -r
complete -c zimg -n "__fish_zimg_needs_command" -l guidance -d 'How strongly to follow the prompt; 0 is off and fastest' -r
complete -c zimg -n "__fish_zimg_needs_command" -l negative -d 'What the image should not show; used when the guidance is above 0' -r
complete -c zimg -n "__fish_zimg_needs_command" -l guidance-normalization -d 'Limit the guided prediction to this many times the unguided norm; 0 is off' -r
complete -c zimg -n "__fish_zimg_needs_command" -l guidance-rescale -d 'Rescale the guided prediction to the unguided deviation by this share, 0 to 1; 0 is off' -r
complete -c zimg -n "__fish_zimg_needs_command" -l guidance-truncation -d 'Switch guidance off after this part of the way, 0 to 1; 1 is never' -r
complete -c zimg -n "__fish_zimg_needs_command" -l strength -d 'How much of the initial image is drawn again; 1 is all of it' -r
complete -c zimg -n "__fish_zimg_needs_command" -l hires -d 'Draw it smaller first, then again, larger by this factor; 1 is off' -r
complete -c zimg -n "__fish_zimg_needs_command" -l hires-strength -d 'How much of the enlarged image the second pass of --hires draws again, up to 1' -r
complete -c zimg -n "__fish_zimg_needs_command" -l variety -d 'Noise in the prompt: seeds differ more; 0.1 is little, 0.5 much, 0 off' -r
complete -c zimg -n "__fish_zimg_needs_command" -l variety-share -d 'Share of the prompt\'s values that get the noise of --variety, up to 1' -r
complete -c zimg -n "__fish_zimg_needs_command" -l variety-steps -d 'Share of the steps that see the noise of --variety, up to 1, which is all of them' -r
complete -c zimg -n "__fish_zimg_needs_command" -l variety-seed -d 'Seed of the noise of --variety, the same for all images; by default the image\'s seed' -r
complete -c zimg -n "__fish_zimg_needs_command" -l lora -d 'Apply a LoRA of `zimg loras`, with a weight other than 1; repeatable' -r
complete -c zimg -n "__fish_zimg_needs_command" -l control-net -d 'The ControlNet for the control image, if the daemon has several' -r
complete -c zimg -n "__fish_zimg_needs_command" -l control-scale -d 'How strongly the control image steers, 0 to 2; 0 is not at all' -r
complete -c zimg -n "__fish_zimg_needs_command" -l cfg -d 'The CFG scale of other programs: guidance is C - 1, so that 1 is off' -r
complete -c zimg -n "__fish_zimg_needs_command" -l cfg-scale -d 'The CFG scale of other programs: guidance is C - 1, so that 1 is off' -r
complete -c zimg -n "__fish_zimg_needs_command" -l init -d 'Start from an image: PNG, JPEG, WebP, GIF, TIFF, BMP or PNM' -r -F
complete -c zimg -n "__fish_zimg_needs_command" -l mask -d 'Let only the white parts of FILE change; "alpha" and "none" are no files' -r -F
complete -c zimg -n "__fish_zimg_needs_command" -l mask-blur -d 'Soften the mask by a Gaussian of PX pixels' -r
complete -c zimg -n "__fish_zimg_needs_command" -l outpaint -d 'Draw more around the image: pixels on the left, top, right and bottom' -r
complete -c zimg -n "__fish_zimg_needs_command" -l fit -d 'What happens to an image of another shape: crop, pad or stretch [default: crop]' -r -f -a "crop\t'Cut off what is too much, on both sides alike'
pad\t'Add borders in the colours of the edges'
stretch\t'Change its shape'"
complete -c zimg -n "__fish_zimg_needs_command" -l control -d 'Steer by a control image: edges, depths or a pose, with a ControlNet of the daemon' -r -F
complete -c zimg -n "__fish_zimg_needs_command" -l control-kind -d 'What to make of it: raw (as it is), canny (its edges), grey or blur [default: raw]' -r
complete -c zimg -n "__fish_zimg_needs_command" -s o -l output -d 'Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output' -r -F
complete -c zimg -n "__fish_zimg_needs_command" -l format -d 'The format on standard output and of default file names' -r -f -a "png\t'Lossless, read by everything'
jpg\t'Small, see --quality'
webp\t'Lossless and smaller than PNG, or with --quality as small as JPEG'
ppm\t'Binary PPM (P6): the pixels after three lines of text'
raw\t'The pixels: 8-bit RGB, rows from the top'"
complete -c zimg -n "__fish_zimg_needs_command" -l quality -d 'The quality of a JPEG [default: 92] or a WebP [default: lossless], 1 to 100' -r
complete -c zimg -n "__fish_zimg_needs_command" -l grid -d 'Also save a contact sheet of all images: to FILE, or beside them' -r
complete -c zimg -n "__fish_zimg_needs_command" -l show -d 'Show the finished images in the terminal' -r -f -a "auto\t'The best protocol of the terminal'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'None'"
complete -c zimg -n "__fish_zimg_needs_command" -l preview -d 'Show previews of the image in the terminal while it is generated' -r -f -a "auto\t'The best protocol of the terminal'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'None'"
complete -c zimg -n "__fish_zimg_needs_command" -l priority -d 'The priority: interactive jobs preempt batch jobs at the next step' -r -f -a "interactive\t'Preempts batch jobs at their next step'
batch\t'When no interactive job waits'"
complete -c zimg -n "__fish_zimg_needs_command" -l batch -d 'Generate many images: a prompt or a JSON object per line of FILE or "-"' -r -F
complete -c zimg -n "__fish_zimg_needs_command" -l parallel -d 'Jobs of a batch at a time, 1 to 16 [default: 4]' -r
complete -c zimg -n "__fish_zimg_needs_command" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_needs_command" -l round -d 'Round an invalid size to the nearest valid one instead of refusing it'
complete -c zimg -n "__fish_zimg_needs_command" -l no-round -d 'Refuse an invalid size, whatever is set'
complete -c zimg -n "__fish_zimg_needs_command" -l invert-mask -d 'Let the black parts of the mask change instead of the white ones'
complete -c zimg -n "__fish_zimg_needs_command" -l no-invert-mask -d 'Take the mask as it is, whatever is set'
complete -c zimg -n "__fish_zimg_needs_command" -l no-metadata -d 'Do not write generation metadata into the image'
complete -c zimg -n "__fish_zimg_needs_command" -l metadata -d 'Write generation metadata into the image'
complete -c zimg -n "__fish_zimg_needs_command" -s f -l force -d 'Replace files that exist'
complete -c zimg -n "__fish_zimg_needs_command" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_needs_command" -l no-quiet -d 'Show progress, whatever is set'
complete -c zimg -n "__fish_zimg_needs_command" -l wait -d 'Wait while the daemon is busy or does not run'
complete -c zimg -n "__fish_zimg_needs_command" -l no-wait -d 'Fail when the daemon is busy, whatever is set'
complete -c zimg -n "__fish_zimg_needs_command" -l detach -d 'Submit a detached job: print its number and exit'
complete -c zimg -n "__fish_zimg_needs_command" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_needs_command" -s V -l version -d 'Print version'
complete -c zimg -n "__fish_zimg_needs_command" -a "draw" -d 'Generate images; the word draw may be omitted'
complete -c zimg -n "__fish_zimg_needs_command" -a "redo" -d 'Generate an image again from its metadata, with the options that are given'
complete -c zimg -n "__fish_zimg_needs_command" -a "show" -d 'Print the generation metadata of an image'
complete -c zimg -n "__fish_zimg_needs_command" -a "jobs" -d 'List your jobs: waiting, running, and detached ones with images to fetch'
complete -c zimg -n "__fish_zimg_needs_command" -a "wait" -d 'Wait for detached jobs and save their images'
complete -c zimg -n "__fish_zimg_needs_command" -a "cancel" -d 'Stop jobs, or delete the stored images of detached ones'
complete -c zimg -n "__fish_zimg_needs_command" -a "status" -d 'Print the state of the daemon and its worker'
complete -c zimg -n "__fish_zimg_needs_command" -a "metrics" -d 'Print the daemon\'s metrics for Prometheus'
complete -c zimg -n "__fish_zimg_needs_command" -a "pull" -d 'Fetch the model from the Hugging Face Hub'
complete -c zimg -n "__fish_zimg_needs_command" -a "models" -d 'List the checkpoints on this machine, and which one is served'
complete -c zimg -n "__fish_zimg_needs_command" -a "loras" -d 'List the LoRAs that --lora can name, and what is wrong with the others'
complete -c zimg -n "__fish_zimg_needs_command" -a "prepare" -d 'Write a checkpoint as one file that loads fast, and verify such files'
complete -c zimg -n "__fish_zimg_needs_command" -a "doctor" -d 'Find what prevents images from being generated, and print what to do'
complete -c zimg -n "__fish_zimg_needs_command" -a "mcp" -d 'Let agents generate images: an MCP server on standard input and output'
complete -c zimg -n "__fish_zimg_needs_command" -a "sleep" -d 'Free the GPU until the next prompt'
complete -c zimg -n "__fish_zimg_needs_command" -a "wake" -d 'Load the model before a prompt does'
complete -c zimg -n "__fish_zimg_needs_command" -a "web" -d 'Open the web page: on this machine, for you alone'
complete -c zimg -n "__fish_zimg_needs_command" -a "config" -d 'Print the settings in force'
complete -c zimg -n "__fish_zimg_needs_command" -a "completions" -d 'Print the completions of a shell'
complete -c zimg -n "__fish_zimg_needs_command" -a "man" -d 'Print the man page, or write all pages to a folder'
complete -c zimg -n "__fish_zimg_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s s -l size -d 'Width and height in pixels: multiples of 16 from 64 to 2048' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s a -l aspect -d 'The aspect ratio, as 16:9, with the model\'s number of pixels' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l megapixels -d 'The number of pixels in units of 1024x1024; square without --aspect' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l steps -d 'Denoising steps, 1 to 100' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l seed -d 'The number that decides the noise; the same seed gives the same image' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s n -l count -d 'How many images, 1 to 256' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l guidance -d 'How strongly to follow the prompt; 0 is off and fastest' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l negative -d 'What the image should not show; used when the guidance is above 0' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l guidance-normalization -d 'Limit the guided prediction to this many times the unguided norm; 0 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l guidance-rescale -d 'Rescale the guided prediction to the unguided deviation by this share, 0 to 1; 0 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l guidance-truncation -d 'Switch guidance off after this part of the way, 0 to 1; 1 is never' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l strength -d 'How much of the initial image is drawn again; 1 is all of it' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l hires -d 'Draw it smaller first, then again, larger by this factor; 1 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l hires-strength -d 'How much of the enlarged image the second pass of --hires draws again, up to 1' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l variety -d 'Noise in the prompt: seeds differ more; 0.1 is little, 0.5 much, 0 off' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l variety-share -d 'Share of the prompt\'s values that get the noise of --variety, up to 1' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l variety-steps -d 'Share of the steps that see the noise of --variety, up to 1, which is all of them' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l variety-seed -d 'Seed of the noise of --variety, the same for all images; by default the image\'s seed' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l lora -d 'Apply a LoRA of `zimg loras`, with a weight other than 1; repeatable' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l control-net -d 'The ControlNet for the control image, if the daemon has several' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l control-scale -d 'How strongly the control image steers, 0 to 2; 0 is not at all' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l cfg -d 'The CFG scale of other programs: guidance is C - 1, so that 1 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l cfg-scale -d 'The CFG scale of other programs: guidance is C - 1, so that 1 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l init -d 'Start from an image: PNG, JPEG, WebP, GIF, TIFF, BMP or PNM' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l mask -d 'Let only the white parts of FILE change; "alpha" and "none" are no files' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l mask-blur -d 'Soften the mask by a Gaussian of PX pixels' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l outpaint -d 'Draw more around the image: pixels on the left, top, right and bottom' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l fit -d 'What happens to an image of another shape: crop, pad or stretch [default: crop]' -r -f -a "crop\t'Cut off what is too much, on both sides alike'
pad\t'Add borders in the colours of the edges'
stretch\t'Change its shape'"
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l control -d 'Steer by a control image: edges, depths or a pose, with a ControlNet of the daemon' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l control-kind -d 'What to make of it: raw (as it is), canny (its edges), grey or blur [default: raw]' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s o -l output -d 'Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l format -d 'The format on standard output and of default file names' -r -f -a "png\t'Lossless, read by everything'
jpg\t'Small, see --quality'
webp\t'Lossless and smaller than PNG, or with --quality as small as JPEG'
ppm\t'Binary PPM (P6): the pixels after three lines of text'
raw\t'The pixels: 8-bit RGB, rows from the top'"
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l quality -d 'The quality of a JPEG [default: 92] or a WebP [default: lossless], 1 to 100' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l grid -d 'Also save a contact sheet of all images: to FILE, or beside them' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l show -d 'Show the finished images in the terminal' -r -f -a "auto\t'The best protocol of the terminal'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'None'"
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l preview -d 'Show previews of the image in the terminal while it is generated' -r -f -a "auto\t'The best protocol of the terminal'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'None'"
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l priority -d 'The priority: interactive jobs preempt batch jobs at the next step' -r -f -a "interactive\t'Preempts batch jobs at their next step'
batch\t'When no interactive job waits'"
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l batch -d 'Generate many images: a prompt or a JSON object per line of FILE or "-"' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l parallel -d 'Jobs of a batch at a time, 1 to 16 [default: 4]' -r
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l round -d 'Round an invalid size to the nearest valid one instead of refusing it'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l no-round -d 'Refuse an invalid size, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l invert-mask -d 'Let the black parts of the mask change instead of the white ones'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l no-invert-mask -d 'Take the mask as it is, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l no-metadata -d 'Do not write generation metadata into the image'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l metadata -d 'Write generation metadata into the image'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s f -l force -d 'Replace files that exist'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l no-quiet -d 'Show progress, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l wait -d 'Wait while the daemon is busy or does not run'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l no-wait -d 'Fail when the daemon is busy, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l detach -d 'Submit a detached job: print its number and exit'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand draw" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l prompt -d 'Another prompt' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s s -l size -d 'Width and height in pixels: multiples of 16 from 64 to 2048' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s a -l aspect -d 'The aspect ratio, as 16:9, with the model\'s number of pixels' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l megapixels -d 'The number of pixels in units of 1024x1024; square without --aspect' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l steps -d 'Denoising steps, 1 to 100' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l seed -d 'The number that decides the noise; the same seed gives the same image' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s n -l count -d 'How many images, 1 to 256' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l guidance -d 'How strongly to follow the prompt; 0 is off and fastest' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l negative -d 'What the image should not show; used when the guidance is above 0' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l guidance-normalization -d 'Limit the guided prediction to this many times the unguided norm; 0 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l guidance-rescale -d 'Rescale the guided prediction to the unguided deviation by this share, 0 to 1; 0 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l guidance-truncation -d 'Switch guidance off after this part of the way, 0 to 1; 1 is never' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l strength -d 'How much of the initial image is drawn again; 1 is all of it' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l hires -d 'Draw it smaller first, then again, larger by this factor; 1 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l hires-strength -d 'How much of the enlarged image the second pass of --hires draws again, up to 1' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l variety -d 'Noise in the prompt: seeds differ more; 0.1 is little, 0.5 much, 0 off' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l variety-share -d 'Share of the prompt\'s values that get the noise of --variety, up to 1' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l variety-steps -d 'Share of the steps that see the noise of --variety, up to 1, which is all of them' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l variety-seed -d 'Seed of the noise of --variety, the same for all images; by default the image\'s seed' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l lora -d 'Apply a LoRA of `zimg loras`, with a weight other than 1; repeatable' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l control-net -d 'The ControlNet for the control image, if the daemon has several' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l control-scale -d 'How strongly the control image steers, 0 to 2; 0 is not at all' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l cfg -d 'The CFG scale of other programs: guidance is C - 1, so that 1 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l cfg-scale -d 'The CFG scale of other programs: guidance is C - 1, so that 1 is off' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l init -d 'Start from an image: PNG, JPEG, WebP, GIF, TIFF, BMP or PNM' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l mask -d 'Let only the white parts of FILE change; "alpha" and "none" are no files' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l mask-blur -d 'Soften the mask by a Gaussian of PX pixels' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l outpaint -d 'Draw more around the image: pixels on the left, top, right and bottom' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l fit -d 'What happens to an image of another shape: crop, pad or stretch [default: crop]' -r -f -a "crop\t'Cut off what is too much, on both sides alike'
pad\t'Add borders in the colours of the edges'
stretch\t'Change its shape'"
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l control -d 'Steer by a control image: edges, depths or a pose, with a ControlNet of the daemon' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l control-kind -d 'What to make of it: raw (as it is), canny (its edges), grey or blur [default: raw]' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s o -l output -d 'Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l format -d 'The format on standard output and of default file names' -r -f -a "png\t'Lossless, read by everything'
jpg\t'Small, see --quality'
webp\t'Lossless and smaller than PNG, or with --quality as small as JPEG'
ppm\t'Binary PPM (P6): the pixels after three lines of text'
raw\t'The pixels: 8-bit RGB, rows from the top'"
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l quality -d 'The quality of a JPEG [default: 92] or a WebP [default: lossless], 1 to 100' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l grid -d 'Also save a contact sheet of all images: to FILE, or beside them' -r
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l show -d 'Show the finished images in the terminal' -r -f -a "auto\t'The best protocol of the terminal'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'None'"
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l preview -d 'Show previews of the image in the terminal while it is generated' -r -f -a "auto\t'The best protocol of the terminal'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'None'"
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l priority -d 'The priority: interactive jobs preempt batch jobs at the next step' -r -f -a "interactive\t'Preempts batch jobs at their next step'
batch\t'When no interactive job waits'"
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l round -d 'Round an invalid size to the nearest valid one instead of refusing it'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l no-round -d 'Refuse an invalid size, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l invert-mask -d 'Let the black parts of the mask change instead of the white ones'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l no-invert-mask -d 'Take the mask as it is, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l no-metadata -d 'Do not write generation metadata into the image'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l metadata -d 'Write generation metadata into the image'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s f -l force -d 'Replace files that exist'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l no-quiet -d 'Show progress, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l wait -d 'Wait while the daemon is busy or does not run'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l no-wait -d 'Fail when the daemon is busy, whatever is set'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand redo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand show" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand show" -l parameters -d 'Print the text that other programs read, or the text that another program wrote'
complete -c zimg -n "__fish_zimg_using_subcommand show" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand jobs" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand jobs" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand jobs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -s o -l output -d 'Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l format -d 'The format, if no file name has an extension' -r -f -a "png\t'Lossless, read by everything'
jpg\t'Small, see --quality'
webp\t'Lossless and smaller than PNG, or with --quality as small as JPEG'
ppm\t'Binary PPM (P6): the pixels after three lines of text'
raw\t'The pixels: 8-bit RGB, rows from the top'"
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l quality -d 'The quality of a JPEG [default: 92] or a WebP [default: lossless], 1 to 100' -r
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l grid -d 'Also save a contact sheet of all images of a job: to FILE, or beside them' -r
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l show -d 'Show the finished images in the terminal' -r -f -a "auto\t'The best protocol of the terminal'
kitty\t'kitty, Ghostty, WezTerm, Konsole'
iterm2\t'iTerm2, WezTerm, VS Code'
sixel\t'foot, xterm -ti vt340, Windows Terminal, mlterm'
blocks\t'Half blocks in 24-bit colours: any terminal'
none\t'None'"
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l keep -d 'Do not delete the jobs in the daemon after their images are saved'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l no-metadata -d 'Do not write generation metadata into the image'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -s f -l force -d 'Replace files that exist'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand cancel" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand cancel" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_using_subcommand cancel" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand status" -s w -l watch -d 'Update the output until q or Ctrl-C, every 0.5 seconds or SECONDS' -r
complete -c zimg -n "__fish_zimg_using_subcommand status" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand status" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand metrics" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand metrics" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand metrics" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand pull" -l lora-dir -d 'Fetch a LoRA into this directory, one of zimaged\'s --lora-dir, instead of a checkpoint' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand pull" -l revision -d 'A branch, a tag or a commit' -r
complete -c zimg -n "__fish_zimg_using_subcommand pull" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand pull" -l only -d 'Fetch this repository\'s files only, not the text encoder and the VAE that it lacks'
complete -c zimg -n "__fish_zimg_using_subcommand pull" -s n -l dry-run -d 'Print the files and their sizes, and fetch nothing'
complete -c zimg -n "__fish_zimg_using_subcommand pull" -s y -l yes -d 'Fetch without a question, also if the disk is nearly full afterwards'
complete -c zimg -n "__fish_zimg_using_subcommand pull" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_using_subcommand pull" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand models" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand models" -s a -l all -d 'Also list models that zimg does not serve, and why'
complete -c zimg -n "__fish_zimg_using_subcommand models" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand models" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand loras" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand loras" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand loras" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -s o -l output -d 'The file to write, whose name ends in .safetensors' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -l dtype -d 'The type of the transformer\'s large matrices' -r -f -a "bfloat16\t''
float8\t''
int8\t''"
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -l text-encoder-dtype -d 'The type of the text encoder\'s large matrices' -r -f -a "bfloat16\t''
float8\t''
int8\t''"
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -l text-encoder -d 'The text encoder\'s file or folder, if MODEL has none or another one is to be used' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -l vae -d 'The VAE\'s file or folder, likewise' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -l tokenizer -d 'The tokenizer\'s file or folder, likewise' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -l model-kind -d 'turbo or base, for files that do not tell it' -r -f -a "turbo\t''
base\t''"
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -l verify -d 'Compare the checksums of a prepared file, and write nothing' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -s f -l force -d 'Replace FILE if it exists'
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -s q -l quiet -d 'Show nothing but errors'
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand prepare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand doctor" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand doctor" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand mcp" -l save -d 'Also save each image in this folder, as zimg-SEED.png with its metadata' -r -f -a "(__fish_complete_directories)"
complete -c zimg -n "__fish_zimg_using_subcommand mcp" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand mcp" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand mcp" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand sleep" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand sleep" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand sleep" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand wake" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand wake" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand wake" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand web" -l listen -d 'Where the page is served, on this machine alone [default: 127.0.0.1:7860, or a free port]' -r
complete -c zimg -n "__fish_zimg_using_subcommand web" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand web" -l no-browser -d 'Print the link and do not open the browser'
complete -c zimg -n "__fish_zimg_using_subcommand web" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand web" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -f -a "show" -d 'Print all settings in the format of the configuration file'
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -f -a "path" -d 'Print the path of the configuration file'
complete -c zimg -n "__fish_zimg_using_subcommand config; and not __fish_seen_subcommand_from show path help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from show" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from show" -l origin -d 'Print where each setting is from'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from path" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from path" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from path" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print all settings in the format of the configuration file'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "path" -d 'Print the path of the configuration file'
complete -c zimg -n "__fish_zimg_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c zimg -n "__fish_zimg_using_subcommand completions" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand completions" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand man" -l socket -d 'The daemon\'s socket' -r -F
complete -c zimg -n "__fish_zimg_using_subcommand man" -l json -d 'Print events as lines of JSON on standard output'
complete -c zimg -n "__fish_zimg_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "draw" -d 'Generate images; the word draw may be omitted'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "redo" -d 'Generate an image again from its metadata, with the options that are given'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "show" -d 'Print the generation metadata of an image'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "jobs" -d 'List your jobs: waiting, running, and detached ones with images to fetch'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "wait" -d 'Wait for detached jobs and save their images'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "cancel" -d 'Stop jobs, or delete the stored images of detached ones'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "status" -d 'Print the state of the daemon and its worker'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "metrics" -d 'Print the daemon\'s metrics for Prometheus'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "pull" -d 'Fetch the model from the Hugging Face Hub'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "models" -d 'List the checkpoints on this machine, and which one is served'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "loras" -d 'List the LoRAs that --lora can name, and what is wrong with the others'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "prepare" -d 'Write a checkpoint as one file that loads fast, and verify such files'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "doctor" -d 'Find what prevents images from being generated, and print what to do'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "mcp" -d 'Let agents generate images: an MCP server on standard input and output'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "sleep" -d 'Free the GPU until the next prompt'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "wake" -d 'Load the model before a prompt does'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "web" -d 'Open the web page: on this machine, for you alone'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "config" -d 'Print the settings in force'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "completions" -d 'Print the completions of a shell'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "man" -d 'Print the man page, or write all pages to a folder'
complete -c zimg -n "__fish_zimg_using_subcommand help; and not __fish_seen_subcommand_from draw redo show jobs wait cancel status metrics pull models loras prepare doctor mcp sleep wake web config completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c zimg -n "__fish_zimg_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print all settings in the format of the configuration file'
complete -c zimg -n "__fish_zimg_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "path" -d 'Print the path of the configuration file'
