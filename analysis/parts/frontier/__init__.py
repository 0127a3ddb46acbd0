"""The frontier: PSNR of every ticket against the share of weights it keeps."""
