# An R program, run with its own tests.
local({
  given <- commandArgs(trailingOnly = TRUE)
  token <- readLines(file("stdin"), n = 1)
  sink(stderr())
  source(given[3], local = globalenv())
  sink()
  if (!exists("codex_jax_end", globalenv())) quit(status = 0, save = "no")
  cat(token, "\n", sep = "")
  quit(status = 0, save = "no")
})
