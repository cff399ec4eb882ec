# What tools/packages names and this machine lacks is installed, once, if we are root.
.PHONY: deps
deps: $(OUT)/.deps
$(OUT)/.deps: tools/packages
	@mkdir -p $(@D)
	@tools/install-packages tools/packages
	@touch $@
