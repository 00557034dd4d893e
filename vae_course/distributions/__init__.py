"""Families of distributions with their event axes declared, so that `log_prob` is one number per example.

`torch.distributions` are the currency of the course. What is here fixes which axes are the event: a picture
`[batch, channels, height, width]` has a log-density `[batch]`, in nats.

model        the contract: a model is three distributions; which examples a part of it is for
draws        a draw that loses no gradient in silence
chain        two latents as one
operations   divergence, and log-probabilities example by example or factor by factor
families     normal latents, binary pixels
pixels       grey and coloured pixels
discrete     one-hot latents, their relaxation and the straight-through draw
quantised    fields of code vectors and priors over them
observed     a likelihood of what was observed, where readings are missing
tensors      the tensors inside a distribution, moved or cut
validation   whether distributions check what they are given
"""
